#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/config.h"
#include "cli/config_file.h"

static char path[64];
static struct config config;
static char text[CONFIG_TEXT_BYTES];

static void setup(void)
{
    (void)snprintf(path, sizeof path, "/tmp/chitchat-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

TestSuite(config_file, .init = setup, .fini = teardown);

static void put(const char *bytes, size_t count)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, count, file), count);
    (void)fclose(file);
}

/* `chitchat serve --config` with a file of this text, and up to one more argument and one variable. */
static enum config_action parse_with(const char *lines, const char *argument, const char *variable)
{
    char *argv[] = {"chitchat", "serve", "--config", path, (char *)(uintptr_t)argument, NULL};
    char *environment[] = {(char *)(uintptr_t)variable, NULL};
    put(lines, strlen(lines));
    memset(&config, 0xa5, sizeof config);
    return config_parse(argument == NULL ? 4 : 5, argv, environment, &config, text, sizeof text);
}

static void assert_good(const char *lines)
{
    cr_assert_eq(parse_with(lines, NULL, NULL), CONFIG_SERVE, "%s", text);
}

/* The error begins with the file and `line`, and has `said`. */
static void assert_wrong(const char *lines, unsigned line, const char *said)
{
    char wanted[128];
    cr_assert_eq(parse_with(lines, NULL, NULL), CONFIG_ERROR, "%s", lines);
    (void)snprintf(wanted, sizeof wanted, "%s:%u: ", path, line);
    cr_assert_not_null(strstr(text, wanted), "%s", text);
    cr_assert_not_null(strstr(text, said), "%s", text);
    cr_assert_null(strchr(text, '\n'));
}

Test(config_file, options_stand_on_lines_among_comments_and_blank_lines)
{
    assert_good("# a comment\n\n   # another = one\n\tping-s = 7 \r\ndata=/srv/a b\n  connections\t=\t11");
    cr_assert_eq(config.ping_s, 7);
    cr_assert_str_eq(config.data_dir, "/srv/a b");
    cr_assert_eq(config.connections, 11);
    cr_assert(config_is_given(&config, "connections"));
}

Test(config_file, an_empty_file_changes_nothing)
{
    assert_good("");
    cr_assert_eq(config.ping_s, 25);
    assert_good("\n\n#");
}

Test(config_file, a_value_may_have_an_equals_sign_and_a_number_sign_within_a_word)
{
    assert_good("data = /srv/a=b#c\n");
    cr_assert_str_eq(config.data_dir, "/srv/a=b#c");
}

Test(config_file, options_that_repeat_may_repeat)
{
    assert_good("listen = 127.0.0.1:1\nhost = a.example\nlisten = [::1]:2\nhost = b.example\n");
    cr_assert_eq(config.listen_count, 2);
    cr_assert_str_eq(config.listens[1].text, "[::1]:2");
    cr_assert_eq(config.host_count, 2);
}

Test(config_file, the_environment_wins_over_it_and_the_command_line_over_both)
{
    const char *lines = "ping-s = 7\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2\n";
    cr_assert_eq(parse_with(lines, NULL, "CHITCHAT_PING_S=8"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.ping_s, 8);
    cr_assert_eq(config.listen_count, 2);
    cr_assert_eq(parse_with(lines, "--ping-s=9", "CHITCHAT_PING_S=8"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.ping_s, 9);
    cr_assert_eq(parse_with(lines, NULL, "CHITCHAT_LISTEN=127.0.0.1:3"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 1);
    cr_assert_str_eq(config.listens[0].text, "127.0.0.1:3");
    cr_assert_eq(parse_with(lines, "--listen=127.0.0.1:4", "CHITCHAT_LISTEN=127.0.0.1:3"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 1);
    cr_assert_str_eq(config.listens[0].text, "127.0.0.1:4");
}

Test(config_file, the_environment_may_name_it_and_the_command_line_another)
{
    char variable[96];
    char *environment[] = {variable, NULL};
    char *argv[] = {"chitchat", "serve", "--config=/nowhere", NULL};
    (void)snprintf(variable, sizeof variable, "CHITCHAT_CONFIG=%s", path);
    put("ping-s = 7\n", 11);
    cr_assert_eq(config_parse(2, argv, environment, &config, text, sizeof text), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.ping_s, 7);
    cr_assert_eq(config_parse(3, argv, environment, &config, text, sizeof text), CONFIG_ERROR);
    cr_assert_str_eq(text,
                     "chitchat: --config /nowhere: it cannot be read: No such file or directory: name a file that "
                     "the user of the server may read");
}

Test(config_file, a_value_of_another_option_is_not_taken_for_its_name)
{
    char *argv[] = {"chitchat", "serve", "--data", "--config", "--ping-s", "3", NULL};
    cr_assert_eq(config_parse(6, argv, NULL, &config, text, sizeof text), CONFIG_SERVE, "%s", text);
    cr_assert_str_eq(config.data_dir, "--config");
    cr_assert_null(config.config_file);
}

Test(config_file, an_error_names_file_and_line)
{
    assert_wrong("\n# one\npings = 7\n", 3, "pings: is no option");
    assert_wrong("--ping-s = 7\n", 1, "write the name without --");
    assert_wrong("ping-s = 7\n\nping-s = 8\n", 3, "twice");
    assert_wrong("data = x\nping-s = 0\n", 2, "ping-s 0: must be a whole number from 1 to 3600");
    assert_wrong("ping-s\n", 1, "write name = value");
    assert_wrong("ping-s =  \n", 1, "needs a value");
    assert_wrong("= 7\n", 1, "needs a name");
    assert_wrong("ping-s = 7 # seconds\n", 1, "a comment stands on a line of its own");
    assert_wrong("config = other\n", 1, "give it on the command line");
    assert_wrong("check = yes\n", 1, "give it on the command line");
    assert_wrong("allow-anyone = maybe\n", 1, "must be yes or no");
    cr_assert_null(strstr(text, "without a value"), "a line without a value is refused: %s", text);
    assert_wrong("user = alice\n", 1, "is no option");
}

Test(config_file, what_is_no_text_or_too_large_is_refused)
{
    static char large[CONFIG_FILE_BYTES];
    char *argv[] = {"chitchat", "serve", "--config", path, NULL};
    put("ping-s = 7\nda\0ta = x\n", 21);
    cr_assert_eq(config_parse(4, argv, NULL, &config, text, sizeof text), CONFIG_ERROR);
    cr_assert_not_null(strstr(text, ":2: it has a byte 0"), "%s", text);

    memset(large, '#', sizeof large);
    put(large, sizeof large - 1);
    cr_assert_eq(config_parse(4, argv, NULL, &config, text, sizeof text), CONFIG_SERVE, "%s", text);
    put(large, sizeof large);
    cr_assert_eq(config_parse(4, argv, NULL, &config, text, sizeof text), CONFIG_ERROR);
    cr_assert_not_null(strstr(text, ": it is too large"), "%s", text);

    argv[3] = "/tmp";
    cr_assert_eq(config_parse(4, argv, NULL, &config, text, sizeof text), CONFIG_ERROR);
    cr_assert_not_null(strstr(text, "--config /tmp: it cannot be read: Is a directory"), "%s", text);
}
