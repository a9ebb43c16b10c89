#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "connection/tls_context.h"
#include "tls_fixture.h"

static struct tls_files files;
static struct clock system_clock;
static char text[512];

static void set_up(void)
{
    clock_init_system(&system_clock);
    make_files(&files);
}

static void tear_down(void)
{
    remove_files(&files);
}

/* The files as they are now must be refused, with these words. */
static void refuses(const char *option, const char *words)
{
    struct tls_context *context;
    cr_assert_eq(tls_context_open(&context, files.certificate, files.key, &system_clock, text, sizeof text), -EINVAL);
    cr_assert(context == NULL);
    cr_assert(strstr(text, option) == text && strstr(text, words) != NULL, "it says: %s", text);
}

TestSuite(tls_context, .init = set_up, .fini = tear_down);

Test(tls_context, takes_a_certificate_and_its_key)
{
    struct tls_context *context;
    cr_assert_eq(tls_context_open(&context, files.certificate, files.key, &system_clock, text, sizeof text), 0, "%s",
                 text);
    SSL_CTX *ssl = tls_context_take(context);
    cr_assert(SSL_CTX_get0_certificate(ssl) != NULL);
    SSL_CTX_free(ssl);
    tls_context_close(&context);
    cr_assert(context == NULL);
}

Test(tls_context, refuses_a_missing_file)
{
    unlink(files.key);
    refuses("--tls-key ", "No such file");
    unlink(files.certificate);
    refuses("--tls-cert ", "No such file");
}

Test(tls_context, refuses_a_pipe_and_does_not_wait_for_its_writer)
{
    unlink(files.key);
    cr_assert_eq(mkfifo(files.key, 0600), 0);
    refuses("--tls-key ", "is not a file");
    unlink(files.certificate);
    cr_assert_eq(mkfifo(files.certificate, 0600), 0);
    refuses("--tls-cert ", "is not a file");
}

Test(tls_context, refuses_a_file_without_a_certificate_or_a_key)
{
    FILE *file = fopen(files.key, "w");
    fputs("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", file);
    fclose(file);
    refuses("--tls-key ", "has no private key in PEM");
    cr_assert(truncate(files.certificate, 0) == 0);
    refuses("--tls-cert ", "has no usable certificate chain");
}

Test(tls_context, refuses_the_key_of_another_certificate)
{
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    write_key(files.key, other, NULL);
    refuses("--tls-key ", "does not belong to the certificate");
    EVP_PKEY_free(other);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    write_key(files.key, other, NULL);
    refuses("--tls-key ", "does not belong to the certificate");
    EVP_PKEY_free(other);
}

Test(tls_context, refuses_an_encrypted_key)
{
    EVP_PKEY *key = write_pair(&files, 30);
    write_key(files.key, key, "passphrase");
    refuses("--tls-key ", "is encrypted");
    EVP_PKEY_free(key);
}

Test(tls_context, refuses_a_key_that_all_may_read)
{
    cr_assert_eq(chmod(files.key, 0604), 0);
    refuses("--tls-key ", "chmod 600");
    cr_assert_eq(chmod(files.key, 0640), 0);
    struct tls_context *context;
    cr_assert_eq(tls_context_open(&context, files.certificate, files.key, &system_clock, text, sizeof text), 0, "%s",
                 text);
    tls_context_close(&context);
}

Test(tls_context, takes_an_expired_certificate_with_a_warning)
{
    struct tls_context *context;
    EVP_PKEY_free(write_pair(&files, -1));
    cr_assert_eq(tls_context_open(&context, files.certificate, files.key, &system_clock, text, sizeof text), 0, "%s",
                 text);
    tls_context_close(&context);
}

Test(tls_context, a_reload_changes_what_is_taken_next_and_a_bad_file_changes_nothing)
{
    struct tls_context *context;
    cr_assert_eq(tls_context_open(&context, files.certificate, files.key, &system_clock, text, sizeof text), 0, "%s",
                 text);
    SSL_CTX *first = tls_context_take(context);
    EVP_PKEY_free(write_pair(&files, 30));
    cr_assert_eq(tls_context_reload(context, text, sizeof text), 0, "%s", text);
    SSL_CTX *second = tls_context_take(context);
    cr_assert(first != second);
    cr_assert(X509_cmp(SSL_CTX_get0_certificate(first), SSL_CTX_get0_certificate(second)) != 0);
    unlink(files.key);
    cr_assert_eq(tls_context_reload(context, text, sizeof text), -EINVAL);
    SSL_CTX *third = tls_context_take(context);
    cr_assert(third == second);
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(third);
    tls_context_close(&context);
}
