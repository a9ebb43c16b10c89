/* tls_fixture.h: a certificate made in memory, as files in a directory of the test. */
#ifndef CHITCHAT_TLS_FIXTURE_H
#define CHITCHAT_TLS_FIXTURE_H

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tls_files {
    char dir[64];
    char certificate[96];
    char key[96];
};

static inline void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    cr_assert_eq(PEM_write_PKCS8PrivateKey(file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                           (void *)(uintptr_t)passphrase),
                 1);
    fclose(file);
    cr_assert_eq(chmod(path, 0600), 0);
}

/* A P-256 key, and a certificate that is good for `days` from now; less than 0: it has expired. */
static inline EVP_PKEY *write_pair(const struct tls_files *files, int days)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *certificate = X509_new();
    cr_assert(key != NULL && certificate != NULL);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L * 10);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * days);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    cr_assert(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *file = fopen(files->certificate, "w");
    cr_assert(file != NULL);
    PEM_write_X509(file, certificate);
    fclose(file);
    X509_free(certificate);
    write_key(files->key, key, NULL);
    return key;
}

static inline void make_files(struct tls_files *files)
{
    snprintf(files->dir, sizeof files->dir, "/tmp/chitchat-tls-XXXXXX");
    cr_assert(mkdtemp(files->dir) != NULL);
    snprintf(files->certificate, sizeof files->certificate, "%s/cert.pem", files->dir);
    snprintf(files->key, sizeof files->key, "%s/key.pem", files->dir);
    EVP_PKEY_free(write_pair(files, 30));
}

static inline void remove_files(const struct tls_files *files)
{
    unlink(files->certificate);
    unlink(files->key);
    rmdir(files->dir);
}

#endif
