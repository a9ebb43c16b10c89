#include "auth/admin_tokens.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/token_files.h"
#include "base/assert.h"

#define DIGEST_BYTES 32u

struct digests {
    uint32_t count;
    uint8_t bytes[ADMIN_TOKENS_MAX][DIGEST_BYTES];
};

struct admin_tokens {
    const char *file;
    pthread_mutex_t lock;
    struct digests digests; /* under the lock */
};

static void digest_of(struct span token, uint8_t digest[DIGEST_BYTES])
{
    size_t bytes = 0;
    int is_good = EVP_Q_digest(NULL, "SHA256", NULL, token.data, token.bytes, digest, &bytes);
    ASSERT(is_good == 1 && bytes == DIGEST_BYTES);
}

static bool is_printable(struct span token)
{
    for (size_t i = 0; i < token.bytes; i++)
        if (token.data[i] <= 0x20 || token.data[i] >= 0x7f)
            return false;
    return true;
}

static bool take_line(struct token_loader *loader, struct span line, unsigned number, struct digests *digests)
{
    if (line.bytes < ADMIN_TOKEN_BYTES_MIN || line.bytes > ADMIN_TOKEN_BYTES_MAX || !is_printable(line))
        return token_files_fail(loader,
                                "line %u is no token: 32 to 1024 printable characters without blanks are wanted; "
                                "`openssl rand -hex 32` makes one",
                                number);
    if (digests->count == ADMIN_TOKENS_MAX)
        return token_files_fail(loader, "there are more than %u tokens: remove those that nobody uses",
                                ADMIN_TOKENS_MAX);
    digest_of(line, digests->bytes[digests->count++]);
    return true;
}

static bool take_lines(struct token_loader *loader, const char *data, size_t bytes, struct digests *digests)
{
    unsigned number = 0;
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(data + at, '\n', bytes - at);
        struct span line = {data + at, end == NULL ? bytes - at : (size_t)(end - (data + at))};
        at += line.bytes + 1;
        if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
            line.bytes--;
        number++;
        if (line.bytes > 0 && !take_line(loader, line, number, digests))
            return false;
    }
    return digests->count > 0
           || token_files_fail(loader, "has no token in it: write one of at least 32 characters, or give another file");
}

static bool read_file(const char *file, struct digests *digests_r, struct token_error *error_r)
{
    struct token_loader loader = {.file = file, .error = error_r};
    char *data;
    size_t bytes;
    *digests_r = (struct digests){0};
    if (!token_files_read(&loader, S_IRWXO, &data, &bytes))
        return false;
    bool is_good = take_lines(&loader, data, bytes, digests_r);
    token_files_forget(data, bytes);
    return is_good;
}

bool admin_tokens_open(struct admin_tokens **tokens_r, const char *file, struct token_error *error_r)
{
    struct digests digests;
    *tokens_r = NULL;
    if (!read_file(file, &digests, error_r))
        return false;
    struct admin_tokens *tokens = calloc(1, sizeof *tokens);
    ASSERT(tokens != NULL);
    tokens->file = file;
    tokens->digests = digests;
    pthread_mutex_init(&tokens->lock, NULL);
    *tokens_r = tokens;
    return true;
}

void admin_tokens_close(struct admin_tokens **tokens_p)
{
    struct admin_tokens *tokens = *tokens_p;
    *tokens_p = NULL;
    if (tokens == NULL)
        return;
    pthread_mutex_destroy(&tokens->lock);
    OPENSSL_cleanse(tokens, sizeof *tokens);
    free(tokens);
}

bool admin_tokens_reload(struct admin_tokens *tokens, struct token_error *error_r)
{
    struct digests digests;
    if (!read_file(tokens->file, &digests, error_r))
        return false;
    pthread_mutex_lock(&tokens->lock);
    tokens->digests = digests;
    pthread_mutex_unlock(&tokens->lock);
    return true;
}

bool admin_tokens_have(struct admin_tokens *tokens, struct span token)
{
    uint8_t digest[DIGEST_BYTES];
    int unequal = 1;
    digest_of(token, digest);
    pthread_mutex_lock(&tokens->lock);
    ASSERT(tokens->digests.count > 0 && tokens->digests.count <= ADMIN_TOKENS_MAX);
    for (uint32_t i = 0; i < tokens->digests.count; i++)
        unequal &= CRYPTO_memcmp(digest, tokens->digests.bytes[i], DIGEST_BYTES) != 0;
    pthread_mutex_unlock(&tokens->lock);
    return unequal == 0;
}
