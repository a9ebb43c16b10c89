/* command_token.c: `chitchat token`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "auth/base64url.h"
#include "auth/token_sign.h"
#include "base/assert.h"
#include "cli/command.h"

#define SECRET_BYTES TOKEN_SECRET_BYTES_MIN
#define TEXT_BYTES 1024u

static int complain_of_file(const char *file, const char *what)
{
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%s: %s: %s", file, what, strerror(errno));
    return command_complain(1, text);
}

/* The secret is on the disk before the command ends: the server may be started with it at once. */
static bool write_secret(int fd)
{
    uint8_t secret[SECRET_BYTES];
    char line[BASE64URL_CHARS(SECRET_BYTES) + 1];
    if (getrandom(secret, sizeof secret, 0) != sizeof secret)
        return false;
    size_t bytes = base64url_encode(secret, sizeof secret, line);
    ASSERT(bytes == sizeof line - 1);
    line[bytes++] = '\n';
    return write(fd, line, bytes) == (ssize_t)bytes && fsync(fd) == 0;
}

static int make_secret(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        char text[TEXT_BYTES];
        (void)snprintf(text, sizeof text, "%s exists: give a new name, or remove it if no server needs its secrets",
                       file);
        return command_complain(1, text);
    }
    if (fd < 0)
        return complain_of_file(file, "cannot be created");
    bool is_written = write_secret(fd);
    int code = is_written ? 0 : complain_of_file(file, "the secret cannot be written");
    close(fd);
    if (!is_written)
        (void)unlink(file);
    return code;
}

/* NULL is a span without bytes. */
static struct span optional(const char *text)
{
    return text == NULL ? (struct span){"", 0} : span_of(text);
}

static int print_token(const struct config *config, struct token_signer *signer)
{
    char token[TOKEN_BYTES_MAX];
    size_t bytes;
    uint64_t now_s = (uint64_t)time(NULL);
    struct token_grant grant = {.user = span_of(config->user),
                                .user_claim = span_of(config->token_claim),
                                .audience = optional(config->token_audience),
                                .issuer = optional(config->token_issuer),
                                .kid = optional(config->kid),
                                .issued_s = now_s,
                                .expires_s = now_s + config->for_s};
    if (!token_sign(signer, &grant, token, &bytes))
        return command_complain(1, "the token cannot be signed: libcrypto has failed");
    if (printf("%.*s\n", (int)bytes, token) < 0 || fflush(stdout) != 0)
        return command_complain(1, "stdout cannot be written");
    return 0;
}

int command_token(const struct config *config)
{
    struct token_signer *signer;
    struct token_error error;
    if (config->new_secret != NULL)
        return make_secret(config->new_secret);
    bool is_open = config->secret_file != NULL ? token_signer_open_secret(&signer, config->secret_file, &error)
                                               : token_signer_open_key(&signer, config->key_file, &error);
    if (!is_open)
        return command_complain(1, error.text);
    int code = print_token(config, signer);
    token_signer_close(&signer);
    return code;
}
