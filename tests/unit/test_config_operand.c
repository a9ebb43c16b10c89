/* Options of the commands that talk to a server, and the argument without a name. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cli/config.h"

static struct config config;
static char text[CONFIG_TEXT_BYTES];

static enum config_action parse(const char *line)
{
    static char words[1024];
    char *argv[16] = {"chitchat"};
    int argc = 1;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return config_parse(argc, argv, NULL, &config, text, sizeof text);
}

static void assert_error(const char *line, const char *said, const char *also_said)
{
    cr_assert_eq(parse(line), CONFIG_ERROR, "%s", line);
    cr_assert_not_null(strstr(text, said), "%s", text);
    cr_assert_not_null(strstr(text, also_said), "%s", text);
}

Test(config_operand, an_argument_without_a_name_is_the_url_or_the_text)
{
    cr_assert_eq(parse("chat --user alice"), CONFIG_CHAT, "%s", text);
    cr_assert_str_eq(config.url, "ws://127.0.0.1:8080/ws");
    cr_assert_eq(parse("chat wss://x --user alice --to bob"), CONFIG_CHAT, "%s", text);
    cr_assert_str_eq(config.url, "wss://x");
    cr_assert_str_eq(config.to_user, "bob");
    cr_assert_eq(parse("send --user alice --to bob -- --text"), CONFIG_SEND, "%s", text);
    cr_assert_str_eq(config.message, "--text");
    cr_assert_eq(parse("history --token-file t --limit 7"), CONFIG_HISTORY, "%s", text);
    cr_assert_null(config.user);
    assert_error("send --user alice --to bob x y", "TEXT y", "one too many");
    assert_error("send --user alice x", "send needs --to U", "chitchat send --help");
    assert_error("chat", "chat needs --user U", "--token-file F");
    assert_error("chat --user alice -x", "unknown option -x", "chitchat chat --help");
    assert_error("chat --user alice --", "unknown option --", "chitchat chat --help");
}
