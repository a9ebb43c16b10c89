#include "auth/admin_tokens.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TOKEN_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char path[64];
static struct token_error error;

static void write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
}

static void make_file(void)
{
    strcpy(path, "/tmp/test_admin_tokens_XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}

static void remove_file(void)
{
    unlink(path);
}

TestSuite(admin_tokens, .init = make_file, .fini = remove_file);

static void refuses(const char *text, mode_t mode, const char *reason)
{
    struct admin_tokens *tokens;
    write_file(text, mode);
    cr_expect_not(admin_tokens_open(&tokens, path, &error));
    cr_expect(strstr(error.text, reason) != NULL, "%s", error.text);
    cr_expect_null(tokens);
}

Test(admin_tokens, each_line_is_a_token)
{
    struct admin_tokens *tokens;
    write_file(TOKEN_A "\r\n\n" TOKEN_B, 0640);
    cr_assert(admin_tokens_open(&tokens, path, &error), "%s", error.text);
    cr_expect(admin_tokens_have(tokens, SPAN_LITERAL(TOKEN_A)));
    cr_expect(admin_tokens_have(tokens, SPAN_LITERAL(TOKEN_B)));
    cr_expect_not(admin_tokens_have(tokens, SPAN_LITERAL(TOKEN_A "a")));
    cr_expect_not(admin_tokens_have(tokens, SPAN_LITERAL("")));
    admin_tokens_close(&tokens);
    cr_expect_null(tokens);
}

Test(admin_tokens, a_new_file_replaces_them_and_a_bad_one_does_not)
{
    struct admin_tokens *tokens;
    write_file(TOKEN_A "\n", 0600);
    cr_assert(admin_tokens_open(&tokens, path, &error));
    write_file("short\n", 0600);
    cr_expect_not(admin_tokens_reload(tokens, &error));
    cr_expect(admin_tokens_have(tokens, SPAN_LITERAL(TOKEN_A)));
    write_file(TOKEN_B "\n", 0600);
    cr_expect(admin_tokens_reload(tokens, &error));
    cr_expect_not(admin_tokens_have(tokens, SPAN_LITERAL(TOKEN_A)));
    cr_expect(admin_tokens_have(tokens, SPAN_LITERAL(TOKEN_B)));
    admin_tokens_close(&tokens);
}

Test(admin_tokens, a_file_that_protects_nothing_is_refused)
{
    refuses(TOKEN_A "\n", 0644, "o-rwx");
    refuses(TOKEN_A "\n", 0602, "o-rwx");
    refuses("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 0600, "line 1 is no token");
    refuses("\n" TOKEN_A " " TOKEN_A "\n", 0600, "line 2 is no token");
    refuses("\n\n", 0600, "no token in it");
    refuses("", 0600, "is empty");
    refuses(TOKEN_A "\n" TOKEN_A "\n" TOKEN_A "\n" TOKEN_A "\n" TOKEN_A "\n" TOKEN_A "\n" TOKEN_A "\n" TOKEN_A
                    "\n" TOKEN_B "\n",
            0600, "more than 8");
}
