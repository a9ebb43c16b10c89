/* config_help.c: the text of --help. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/config_command.h"
#include "cli/config_value.h"

struct writer {
    char *text;
    size_t bytes;
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) put(struct writer *writer, const char *format, ...);

static void put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    ASSERT(writer->used < writer->bytes);
    va_start(arguments, format);
    int more = vsnprintf(writer->text + writer->used, writer->bytes - writer->used, format, arguments);
    va_end(arguments);
    writer->used += more > 0 ? (size_t)more : 0;
    if (writer->used >= writer->bytes)
        writer->used = writer->bytes - 1;
}

#define HELP_INDENT 29
#define COMMAND_INDENT 45

/* What is longer than its column gets a line of its own. */
static void put_left(struct writer *writer, const char *left, int indent)
{
    if ((int)strlen(left) + 3 > indent)
        put(writer, "  %s\n%*s", left, indent, "");
    else
        put(writer, "  %-*s", indent - 2, left);
}

static void put_option(struct writer *writer, const struct option *option)
{
    char left[64];
    bool has_name = option->name[0] != '\0';
    (void)snprintf(left, sizeof left, "%s%s%s%s", has_name ? "--" : "", option->name,
                   has_name && option->value[0] != '\0' ? " " : "", option->value);
    put_left(writer, left, HELP_INDENT);
    for (const char *line = option->help; line != NULL;) {
        const char *end = strchr(line, '\n');
        int bytes = end != NULL ? (int)(end - line) : (int)strlen(line);
        put(writer, "%*s%.*s%s", line == option->help ? 0 : HELP_INDENT, "", bytes, line, end != NULL ? "\n" : "");
        line = end != NULL ? end + 1 : NULL;
    }
    char fallback[24];
    if (option->kind == OPTION_DURATION || option->kind == OPTION_FLAG) {
        put(writer, "\n");
        return;
    }
    config_value_write(option->fallback, option->kind == OPTION_BYTES, fallback);
    if (option->bytes != 0 && option->fallback != 0)
        put(writer, " (default %s)", fallback);
    put(writer, "\n");
}

static void put_options(struct writer *writer, const struct command *command)
{
    put(writer, "Options of %s:\n", command->name);
    for (size_t i = 0; i < command->option_count; i++)
        put_option(writer, &command->options[i]);
}

static void put_command(struct writer *writer, const struct command *command)
{
    char left[64];
    (void)snprintf(left, sizeof left, "chitchat %s %s", command->name, command->usage);
    put_left(writer, left, COMMAND_INDENT);
    put(writer, "%s\n", command->summary);
}

static void write_all(struct writer *writer)
{
    put(writer, "chitchat: a chat server over WebSockets that loses nothing.\n\nUsage:\n");
    for (size_t i = 0; i < config_command_count; i++)
        put_command(writer, &config_commands[i]);
    put(writer, "  %-42s %s\n", "chitchat COMMAND --help", "the options of COMMAND; without COMMAND: this text");
    put(writer, "  %-42s %s\n\n", "chitchat --version", "the version");
    put_options(writer, &config_commands[0]);
    put(writer, "\n"
                "An option of serve may be given as --name VALUE or --name=VALUE, or in the environment as\n"
                "CHITCHAT_NAME (CHITCHAT_PING_S=25), with commas between the values of an option that\n"
                "repeats, or in the file of --config as name = value. The command line wins over the\n"
                "environment, and that over the file. BYTES may end in K, M or G (1024, 1024^2, 1024^3).\n\n"
                "Clients connect to ws://ADDR:PORT/ws; http://ADDR:PORT/ is a page to try the server.\n");
}

void config_write_help(const struct command *command, char *text, size_t text_bytes)
{
    struct writer writer = {text, text_bytes, 0};
    if (command == NULL || command->text == NULL) {
        write_all(&writer);
        return;
    }
    put(&writer, "Usage: chitchat %s %s\n\n%s\n", command->name, command->usage, command->text);
    put_options(&writer, command);
}
