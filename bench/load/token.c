#include "load/token.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/put.h"

#define SIGNATURE_BYTES 32u
#define CHARS(bytes) (((bytes)*4 + 2) / 3)            /* of base64url, without padding */
#define HEADER "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" /* {"alg":"HS256","typ":"JWT"} */
#define CLAIMS_BYTES_MAX (LOAD_TOKEN_USER_BYTES_MAX + sizeof "{\"sub\":\"\",\"exp\":18446744073709551615}")

_Static_assert(sizeof HEADER + CHARS(CLAIMS_BYTES_MAX) + 1 + CHARS(SIGNATURE_BYTES) <= LOAD_TOKEN_CHARS_MAX,
               "the longest token fits");

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode(char *out, const uint8_t *data, size_t bytes)
{
    uint32_t bits = 0, count = 0;
    for (size_t i = 0; i < bytes; i++) {
        bits = bits << 8 | data[i];
        for (count += 8; count >= 6; count -= 6)
            *out++ = alphabet[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *out++ = alphabet[bits << (6 - count) & 63];
    return out;
}

/* False: this is no base64url without padding, or too long. */
static bool decode(const char *text, size_t chars, struct load_token_secret *secret_r)
{
    uint32_t bits = 0, count = 0;
    secret_r->bytes = 0;
    for (size_t i = 0; i < chars; i++) {
        const char *at = text[i] != '\0' ? strchr(alphabet, text[i]) : NULL;
        if (at == NULL || secret_r->bytes == LOAD_SECRET_BYTES_MAX)
            return false;
        bits = bits << 6 | (uint32_t)(at - alphabet);
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        secret_r->data[secret_r->bytes++] = (uint8_t)(bits >> count);
    }
    return count < 6 && (bits & ((1u << count) - 1)) == 0;
}

bool load_token_read_secret(struct load_token_secret *secret_r, const char *path, char *why, size_t room)
{
    char line[CHARS(LOAD_SECRET_BYTES_MAX) + 3];
    FILE *file = fopen(path, "r");
    size_t bytes = file != NULL ? fread(line, 1, sizeof line - 1, file) : 0;
    bool is_read = file != NULL && ferror(file) == 0;
    int error = errno;
    if (file != NULL)
        fclose(file);
    line[bytes] = '\0';
    size_t chars = strcspn(line, "\r\n");
    if (!is_read)
        snprintf(why, room, "--token-secret-file %s: %s", path, strerror(error));
    else if (chars == 0)
        snprintf(why, room, "--token-secret-file %s: its first line is empty; it must be the server's secret", path);
    else if (!decode(line, chars, secret_r))
        snprintf(why, room,
                 "--token-secret-file %s: its first line is not base64url (letters, digits, - and _, no =) of at most "
                 "%u bytes",
                 path, LOAD_SECRET_BYTES_MAX);
    else if (secret_r->bytes < LOAD_SECRET_BYTES_MIN)
        snprintf(why, room, "--token-secret-file %s: the secret has %u bytes, and a server takes no fewer than %u",
                 path, secret_r->bytes, LOAD_SECRET_BYTES_MIN);
    else
        return true;
    secret_r->bytes = 0;
    return false;
}

uint32_t load_token_write(const struct load_token_secret *secret, struct span user, uint64_t expires_s, char *out)
{
    char claims[CLAIMS_BYTES_MAX];
    uint8_t signature[SIGNATURE_BYTES];
    unsigned signature_bytes = 0;
    ASSERT(secret->bytes >= LOAD_SECRET_BYTES_MIN);
    ASSERT(user.bytes <= LOAD_TOKEN_USER_BYTES_MAX);
    char *end = load_put(LOAD_PUT(claims, "{\"sub\":\""), user.data, user.bytes);
    end = LOAD_PUT(load_put_number(LOAD_PUT(end, "\",\"exp\":"), expires_s), "}");
    char *at = LOAD_PUT(out, HEADER ".");
    at = encode(at, (const uint8_t *)claims, (size_t)(end - claims));
    HMAC(EVP_sha256(), secret->data, (int)secret->bytes, (const uint8_t *)out, (size_t)(at - out), signature,
         &signature_bytes);
    ASSERT(signature_bytes == SIGNATURE_BYTES);
    at = encode(LOAD_PUT(at, "."), signature, sizeof signature);
    return (uint32_t)(at - out);
}

/* -- tokens that are given -- */

/* All of the file with a NUL behind it, owned by the caller; NULL: errno says why. */
static char *read_text(const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    ssize_t read = getdelim(&text, &bytes, '\0', file);
    int error = ferror(file) != 0 ? errno : 0;
    fclose(file);
    if (read < 0 && error == 0 && text != NULL)
        text[0] = '\0';
    if (error != 0 || text == NULL) {
        free(text);
        errno = error != 0 ? error : ENOMEM;
        return NULL;
    }
    return text;
}

/* Nothing that JSON would escape. */
static bool is_token(struct span token)
{
    bool is_good = token.bytes > 0 && token.bytes <= LOAD_TOKEN_GIVEN_CHARS_MAX;
    for (size_t i = 0; is_good && i < token.bytes; i++)
        is_good = token.data[i] == '.' || strchr(alphabet, token.data[i]) != NULL;
    return is_good;
}

static bool split(struct load_tokens *tokens, const char *path, uint32_t users, char *why, size_t room)
{
    const char *at = tokens->text;
    for (; tokens->count < users && *at != '\0'; tokens->count++) {
        struct span line = {at, strcspn(at, "\r\n")};
        if (!is_token(line)) {
            snprintf(why, room, "--token-file %s: line %u is no token: base64url and dots, at most %u characters", path,
                     tokens->count + 1, LOAD_TOKEN_GIVEN_CHARS_MAX);
            return false;
        }
        tokens->each[tokens->count] = line;
        at += line.bytes;
        at += *at == '\r';
        at += *at == '\n';
    }
    if (tokens->count < users)
        snprintf(why, room, "--token-file %s: it has %u tokens, but there are %u users: give a line for each", path,
                 tokens->count, users);
    return tokens->count == users;
}

bool load_tokens_read(struct load_tokens *tokens_r, const char *path, uint32_t users, char *why, size_t room)
{
    *tokens_r = (struct load_tokens){.text = read_text(path)};
    if (tokens_r->text == NULL) {
        snprintf(why, room, "--token-file %s: %s", path, strerror(errno));
        return false;
    }
    tokens_r->each = calloc(users, sizeof *tokens_r->each);
    ASSERT(tokens_r->each != NULL);
    bool is_good = split(tokens_r, path, users, why, room);
    if (!is_good)
        load_tokens_free(tokens_r);
    return is_good;
}

void load_tokens_free(struct load_tokens *tokens)
{
    free(tokens->text);
    free(tokens->each);
    *tokens = (struct load_tokens){.text = NULL};
}
