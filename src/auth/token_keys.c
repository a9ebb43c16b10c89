#include "auth/token_files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/base64url.h"
#include "auth/token_reason.h"
#include "base/assert.h"

static const struct {
    struct span name;
    uint32_t tries;
} algorithms[TOKEN_ALGORITHMS] = {
    [TOKEN_HS256] = {{"HS256", 5}, TOKEN_TRIES_HS256},
    [TOKEN_RS256] = {{"RS256", 5}, TOKEN_TRIES_RS256},
    [TOKEN_ES256] = {{"ES256", 5}, TOKEN_TRIES_ES256},
    [TOKEN_EDDSA] = {{"EdDSA", 5}, TOKEN_TRIES_EDDSA},
};

struct span token_algorithm_name(enum token_algorithm algorithm)
{
    ASSERT(algorithm < TOKEN_ALGORITHMS);
    return algorithms[algorithm].name;
}

uint32_t token_algorithm_tries(enum token_algorithm algorithm)
{
    ASSERT(algorithm < TOKEN_ALGORITHMS);
    return algorithms[algorithm].tries;
}

struct token_keys *token_keys_ref(struct token_keys *keys)
{
    ASSERT(keys != NULL);
    unsigned before = atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return keys;
}

void token_keys_unref(struct token_keys **keys_p)
{
    struct token_keys *keys = *keys_p;
    *keys_p = NULL;
    if (keys == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    for (uint32_t i = 0; i < keys->count; i++)
        EVP_PKEY_free(keys->keys[i].public);
    OPENSSL_cleanse(keys, sizeof *keys);
    free(keys);
}

uint32_t token_keys_count(const struct token_keys *keys)
{
    return keys->count;
}

const struct token_key *token_keys_at(const struct token_keys *keys, uint32_t index)
{
    ASSERT(index < keys->count);
    return &keys->keys[index];
}

uint32_t token_keys_skipped_count(const struct token_keys *keys)
{
    return keys->skipped_count;
}

const char *token_keys_skipped(const struct token_keys *keys)
{
    return keys->skipped;
}

/* -- files -- */

bool token_files_fail(struct token_loader *loader, const char *format, ...)
{
    va_list arguments;
    char *text = loader->error->text;
    int used = snprintf(text, sizeof loader->error->text, "%.400s: ", loader->file);
    va_start(arguments, format);
    (void)vsnprintf(text + used, sizeof loader->error->text - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

void token_files_forget(char *data, size_t bytes)
{
    if (data != NULL)
        OPENSSL_cleanse(data, bytes);
    free(data);
}

static bool check_file(struct token_loader *loader, const struct stat *status, unsigned mode_refused)
{
    unsigned mode = (unsigned)status->st_mode & 07777;
    if (!S_ISREG(status->st_mode))
        return token_files_fail(loader, "is no regular file: give the name of a file with keys");
    if ((mode & mode_refused) != 0)
        return token_files_fail(loader, "has mode %04o, so others may %s it: run `chmod %s %.200s`", mode,
                                (mode_refused & S_IROTH) != 0 ? "read or change" : "change",
                                (mode_refused & S_IROTH) != 0 ? "o-rwx" : "o-w", loader->file);
    if (status->st_size == 0)
        return token_files_fail(loader, "is empty: write the keys into it, or give another file");
    if (status->st_size > (off_t)TOKEN_FILE_BYTES_MAX)
        return token_files_fail(loader, "is larger than %u KiB, so it is no file of keys", TOKEN_FILE_BYTES_MAX >> 10);
    return true;
}

static bool read_all(struct token_loader *loader, int fd, size_t bytes, char **data_r)
{
    size_t used = 0;
    ASSERT(bytes > 0 && bytes <= TOKEN_FILE_BYTES_MAX);
    char *data = calloc(1, bytes + 1);
    if (data == NULL)
        return token_files_fail(loader, "no memory to read it");
    while (used < bytes) {
        ssize_t more = read(fd, data + used, bytes - used);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0) {
            token_files_forget(data, used);
            return token_files_fail(loader, "cannot be read: %s", more < 0 ? strerror(errno) : "it became shorter");
        }
        used += (size_t)more;
    }
    *data_r = data;
    return true;
}

bool token_files_read(struct token_loader *loader, unsigned mode_refused, char **data_r, size_t *bytes_r)
{
    struct stat status;
    int fd = open(loader->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return token_files_fail(loader, "cannot be opened: %s: give a file that this user may read", strerror(errno));
    bool is_good = fstat(fd, &status) == 0 ? check_file(loader, &status, mode_refused)
                                           : token_files_fail(loader, "cannot be read: %s", strerror(errno));
    is_good = is_good && read_all(loader, fd, (size_t)status.st_size, data_r);
    *bytes_r = is_good ? (size_t)status.st_size : 0;
    close(fd);
    return is_good;
}

struct token_key *token_files_add(struct token_loader *loader)
{
    ASSERT(loader->keys->count <= TOKEN_KEYS_MAX);
    if (loader->keys->count == TOKEN_KEYS_MAX) {
        token_files_fail(loader, "there are more than %u keys in all files: remove those that no token needs",
                         TOKEN_KEYS_MAX);
        return NULL;
    }
    return &loader->keys->keys[loader->keys->count++];
}

#define MORE ", ..."

void token_files_skip(struct token_loader *loader, const char *name, const char *member, const char *value)
{
    struct token_reason name_shown, value_shown;
    char *text = loader->keys->skipped;
    size_t used = strlen(text), left = sizeof loader->keys->skipped - used - (sizeof MORE - 1);
    bool is_first = loader->keys->skipped_count++ == 0;
    if (used >= sizeof MORE && strcmp(text + used - (sizeof MORE - 1), MORE) == 0)
        return;
    int bytes = snprintf(text + used, left, "%s%s (%s%s%s)", is_first ? "" : ", ",
                         token_reason_value(&name_shown, span_of(name)), member, value[0] == '\0' ? "" : " ",
                         token_reason_value(&value_shown, span_of(value)));
    if (bytes < 0 || (size_t)bytes >= left)
        memcpy(text + used, MORE, sizeof MORE);
    for (; *text != '\0'; text++)
        *text = *text == '\\' ? '?' : *text;
}

/* -- secrets: base64url, one a line -- */

static bool take_secret(struct token_loader *loader, struct span line, unsigned number)
{
    struct token_key *key = token_files_add(loader);
    if (key == NULL)
        return false;
    key->algorithm = TOKEN_HS256;
    if (!base64url_decode(line, key->secret, sizeof key->secret, &key->secret_bytes))
        return token_files_fail(loader,
                                "line %u is no secret: base64url is wanted (letters, digits, - and _, no =), of 32 to "
                                "1024 bytes; `chitchat token --new-secret F` makes one",
                                number);
    if (key->secret_bytes < TOKEN_SECRET_BYTES_MIN)
        return token_files_fail(loader,
                                "the secret in line %u has %zu bytes, too few to be safe: at least %u are wanted; "
                                "`chitchat token --new-secret F` makes one",
                                number, key->secret_bytes, TOKEN_SECRET_BYTES_MIN);
    return true;
}

bool token_files_take_secrets(struct token_loader *loader, const char *data, size_t bytes)
{
    unsigned number = 0;
    ASSERT(bytes > 0);
    if (memmem(data, bytes, "-----BEGIN", 10) != NULL || data[0] == '{')
        return token_files_fail(loader,
                                "holds keys, not secrets: give a file of public keys with --token-keys instead");
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(data + at, '\n', bytes - at);
        size_t length = end == NULL ? bytes - at : (size_t)(end - (data + at));
        struct span line = {data + at, length};
        if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
            line.bytes--;
        number++;
        if (line.bytes > 0 && !take_secret(loader, line, number))
            return false;
        at += length + 1;
    }
    return loader->keys->count > 0 || token_files_fail(loader, "has no secret in it: write one, or give another file");
}

/* -- all files -- */

static bool load_secrets(struct token_loader *loader)
{
    char *data;
    size_t bytes;
    if (!token_files_read(loader, S_IRWXO, &data, &bytes))
        return false;
    bool is_good = token_files_take_secrets(loader, data, bytes);
    token_files_forget(data, bytes);
    return is_good;
}

static bool load_keys(struct token_loader *loader)
{
    char *data;
    size_t bytes;
    if (!token_files_read(loader, S_IWOTH, &data, &bytes))
        return false;
    bool is_json = data[strspn(data, " \t\r\n")] == '{';
    bool is_good = is_json ? token_files_take_jwks(loader, data, bytes) : token_files_take_pem(loader, data, bytes);
    token_files_forget(data, bytes);
    return is_good;
}

static bool is_kid_repeated(const struct token_keys *keys, uint32_t index)
{
    const struct token_key *key = &keys->keys[index];
    struct span kid = {key->kid, key->kid_bytes};
    for (uint32_t i = 0; i < index && key->has_kid; i++) {
        const struct token_key *other = &keys->keys[i];
        if (other->has_kid && other->algorithm == key->algorithm
            && span_equal(kid, (struct span){other->kid, other->kid_bytes}))
            return true;
    }
    return false;
}

/* The bounds that hold for all files together. */
static bool check_set(struct token_loader *loader)
{
    uint32_t without_kid[TOKEN_ALGORITHMS] = {0};
    for (uint32_t i = 0; i < loader->keys->count; i++) {
        const struct token_key *key = &loader->keys->keys[i];
        uint32_t most = token_algorithm_tries(key->algorithm);
        if (is_kid_repeated(loader->keys, i))
            return token_files_fail(loader, "the kid %.*s is repeated among the keys for %s", (int)key->kid_bytes,
                                    key->kid, token_algorithm_name(key->algorithm).data);
        if (!key->has_kid && ++without_kid[key->algorithm] > most)
            return token_files_fail(loader,
                                    "there are more than %u %s for %s without a kid in all files: each token would "
                                    "have to be tried with all of them%s",
                                    most, key->algorithm == TOKEN_HS256 ? "secrets" : "keys",
                                    token_algorithm_name(key->algorithm).data,
                                    key->algorithm == TOKEN_HS256 ? "" : ": give them in a JWKS file with a kid each");
    }
    return true;
}

static bool load_files(struct token_loader *loader, const struct token_files *files)
{
    if (files->secrets != NULL) {
        loader->file = files->secrets;
        if (!load_secrets(loader))
            return false;
    }
    for (uint32_t i = 0; i < files->key_count; i++) {
        loader->file = files->keys[i];
        if (!load_keys(loader))
            return false;
    }
    return check_set(loader);
}

bool token_keys_load(struct token_keys **keys_r, const struct token_files *files, struct token_error *error_r)
{
    ASSERT(files->secrets != NULL || files->key_count > 0);
    struct token_loader loader = {.keys = calloc(1, sizeof *loader.keys), .file = "keys", .error = error_r};
    *keys_r = NULL;
    if (loader.keys == NULL)
        return token_files_fail(&loader, "no memory for them");
    atomic_init(&loader.keys->references, 1);
    if (!load_files(&loader, files)) {
        token_keys_unref(&loader.keys);
        return false;
    }
    *keys_r = loader.keys;
    return true;
}
