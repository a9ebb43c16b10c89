#include "load/token.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
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
