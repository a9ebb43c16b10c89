#include "config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "config_value.h"
#include "rate.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

enum option_kind {
    OPTION_LISTEN,
    OPTION_DIR,
    OPTION_ORIGIN,
    OPTION_NUMBER,
    OPTION_BYTES,
};

struct option {
    const char *name;
    const char *value; /* what stands for the value in the help */
    enum option_kind kind;
    size_t offset; /* of numbers and bytes: the field of struct config, of `bytes` bytes */
    size_t bytes;
    uint64_t min;
    uint64_t max;
    uint64_t fallback;
    uint64_t step;    /* a multiple of it only */
    const char *help; /* a line of the help; \n begins another one */
};

#define FIELD(name) offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define NO_FIELD 0, 0, 0, 0, 0, 1

static const struct option options[] = {
    {"listen", "ADDR:PORT", OPTION_LISTEN, NO_FIELD,
     "where to listen; an IPv6 address stands in brackets, as in [::1]:8080;\n"
     "may be given up to 16 times (default 127.0.0.1:8080)"},
    {"data", "DIR", OPTION_DIR, NO_FIELD, "where the messages are kept; made if it is not there (default ./data)"},
    {"shards", "N", OPTION_NUMBER, FIELD(shards), 1, CONFIG_SHARDS_MAX, 0, 1,
     "threads that serve, each on a core of its own, 1 to 64; set when DIR is\n"
     "made, and kept in it (default: what DIR has, else the cores)"},
    {"origin", "ORIGIN", OPTION_ORIGIN, NO_FIELD,
     "web pages of this origin (https://example.org) may connect, beside those\n"
     "that the server itself gives; * for all; may be given up to 16 times"},
    {"connections", "N", OPTION_NUMBER, FIELD(connections), 1, 10000000, 100000, 1,
     "connections at a time; fewer where the system's limit of open files\nis lower"},
    {"user-connections", "N", OPTION_NUMBER, FIELD(user_connections), 1, 1000000, 1024, 1,
     "connections of one user at a time"},
    {"frame-rate", "N", OPTION_NUMBER, FIELD(frame_rate), 0, RATE_PER_SECOND_MAX, 0, 1,
     "frames a second of one connection, 0: no limit"},
    {"send-rate", "N", OPTION_NUMBER, FIELD(send_rate), 0, RATE_PER_SECOND_MAX, 0, 1,
     "sends a second of one user, 0: no limit"},
    {"login-time-s", "S", OPTION_NUMBER, FIELD(login_time_s), 1, 3600, 10, 1,
     "seconds from the accept to the complete login"},
    {"ping-s", "S", OPTION_NUMBER, FIELD(ping_s), 1, 3600, 25, 1,
     "seconds of silence before a ping; three times that closes"},
    {"output-bytes", "BYTES", OPTION_BYTES, FIELD(output_bytes), 64 * KIB, GIB, 4 * MIB, 1,
     "what may wait for one connection before it is cut off as slow"},
    {"memory", "BYTES", OPTION_BYTES, FIELD(memory_bytes), 256 * MIB, 1024 * GIB, 0, 1,
     "what the server may use in all, but for mapped files of messages, which\n"
     "are the system's cache (default: 1G for each shard, or more if\n"
     "--memtable-bytes and --connections need it)"},
    {"memtable-bytes", "BYTES", OPTION_BYTES, FIELD(memtable_bytes), MIB, 64 * GIB, 192 * MIB, 1,
     "recent messages in memory, of each of a shard's two generations"},
    {"checkpoint-s", "S", OPTION_NUMBER, FIELD(checkpoint_s), 1, 86400, 60, 1, "seconds between checkpoints, at most"},
    {"wal-segment-bytes", "BYTES", OPTION_BYTES, FIELD(wal_segment_bytes), 4 * MIB, GIB, 32 * MIB, 4096,
     "size of a file of the log"},
    {"stop-time-s", "S", OPTION_NUMBER, FIELD(stop_time_s), 1, 3600, 5, 1,
     "seconds that a stop may take before it is cut short"},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

/* What is being read, and where complaints go. */
struct parser {
    struct config *config;
    char *text;
    size_t text_bytes;
    char name[64]; /* as the user wrote it: --ping-s or CHITCHAT_PING_S */
};

static enum config_action complain(struct parser *parser, const char *given, const char *wanted)
{
    (void)snprintf(parser->text, parser->text_bytes, "chitchat: %s%s%.200s: %s", parser->name,
                   given[0] != '\0' ? " " : "", given, wanted);
    return CONFIG_ERROR;
}

static void field_store(struct config *config, const struct option *option, uint64_t value)
{
    char *field = (char *)config + option->offset;
    uint32_t narrow = (uint32_t)value;
    if (option->bytes == sizeof value)
        memcpy(field, &value, sizeof value);
    else
        memcpy(field, &narrow, sizeof narrow);
}

static enum config_action complain_of_number(struct parser *parser, const struct option *option, const char *given)
{
    char wanted[160];
    char min[24], max[24], step[48] = "";
    bool is_bytes = option->kind == OPTION_BYTES;
    config_value_write(option->min, is_bytes, min);
    config_value_write(option->max, is_bytes, max);
    if (option->step > 1)
        (void)snprintf(step, sizeof step, ", a multiple of %u", (unsigned)option->step);
    (void)snprintf(wanted, sizeof wanted, "must be a whole number%s from %s to %s%s",
                   is_bytes ? " of bytes (K, M or G may follow)" : "", min, max, step);
    return complain(parser, given, wanted);
}

static enum config_action take_number(struct parser *parser, const struct option *option, const char *given)
{
    uint64_t value;
    if (!config_value_number(given, option->kind == OPTION_BYTES, &value) || value < option->min || value > option->max
        || value % option->step != 0)
        return complain_of_number(parser, option, given);
    field_store(parser->config, option, value);
    return CONFIG_SERVE;
}

static enum config_action take_listen(struct parser *parser, const char *given)
{
    struct config *config = parser->config;
    if (config->listen_count == CONFIG_LISTENS_MAX)
        return complain(parser, given, "is one too many: 16 addresses at most");
    if (!config_value_listen(given, &config->listens[config->listen_count]))
        return complain(parser, given,
                        "must be ADDR:PORT with a numeric address, as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080");
    config->listen_count++;
    return CONFIG_SERVE;
}

static enum config_action take_origin(struct parser *parser, const char *given)
{
    struct config *config = parser->config;
    if (config->origin_count == CONFIG_ORIGINS_MAX)
        return complain(parser, given, "is one too many: 16 origins at most");
    if (!config_value_is_origin(given))
        return complain(parser, given,
                        "must be scheme://host or scheme://host:port without a path, as https://example.org, or *");
    char *text = config->origin_texts[config->origin_count];
    memcpy(text, given, strlen(given) + 1);
    config->origins[config->origin_count++] = text;
    return CONFIG_SERVE;
}

static enum config_action take_value(struct parser *parser, const struct option *option, const char *given)
{
    switch (option->kind) {
    case OPTION_LISTEN: return take_listen(parser, given);
    case OPTION_ORIGIN: return take_origin(parser, given);
    case OPTION_NUMBER:
    case OPTION_BYTES: return take_number(parser, option, given);
    case OPTION_DIR: break;
    }
    if (given[0] == '\0')
        return complain(parser, "\"\"", "must name a directory");
    parser->config->data_dir = given;
    return CONFIG_SERVE;
}

/* What was said of a repeatable option before no longer counts. */
static void forget(struct config *config, const struct option *option)
{
    if (option->kind == OPTION_LISTEN)
        config->listen_count = 0;
    if (option->kind == OPTION_ORIGIN) {
        config->origin_count = 0;
        config->origins[0] = NULL;
    }
}

static bool is_repeatable(const struct option *option)
{
    return option->kind == OPTION_LISTEN || option->kind == OPTION_ORIGIN;
}

static void set_defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
    bool is_good = config_value_listen("127.0.0.1:8080", &config->listens[0]);
    ASSERT(is_good);
    config->listen_count = 1;
    config->data_dir = "./data";
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (options[i].bytes != 0)
            field_store(config, &options[i], options[i].fallback);
}

/* -- the environment -- */

static void environment_name(const struct option *option, char name[64])
{
    int used = snprintf(name, 64, "CHITCHAT_%s", option->name);
    for (int i = 0; i < used; i++)
        name[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
}

/* The value of `name`; NULL if it is not set, or set to nothing. */
static const char *environment_value(char *const *environment, const char *name)
{
    size_t bytes = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, name, bytes) == 0 && (*environment)[bytes] == '=')
            return (*environment)[bytes + 1] != '\0' ? *environment + bytes + 1 : NULL;
    return NULL;
}

static enum config_action take_list(struct parser *parser, const struct option *option, const char *given)
{
    enum config_action action = CONFIG_SERVE;
    forget(parser->config, option);
    while (action == CONFIG_SERVE) {
        char piece[CONFIG_ORIGIN_BYTES + 1];
        size_t bytes = strcspn(given, ",");
        (void)snprintf(piece, sizeof piece, "%.*s", (int)(bytes < sizeof piece ? bytes : sizeof piece), given);
        action = take_value(parser, option, piece);
        if (given[bytes] == '\0')
            break;
        given += bytes + 1;
    }
    return action;
}

/* Other CHITCHAT_ names are left alone: container systems set some for a service of that name. */
static enum config_action take_environment(struct parser *parser, char *const *environment)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        environment_name(&options[i], parser->name);
        const char *given = environment_value(environment, parser->name);
        if (given == NULL)
            continue;
        enum config_action action =
            is_repeatable(&options[i]) ? take_list(parser, &options[i], given) : take_value(parser, &options[i], given);
        if (action != CONFIG_SERVE)
            return action;
    }
    return CONFIG_SERVE;
}

/* -- the command line -- */

static const struct option *option_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strlen(options[i].name) == bytes && memcmp(options[i].name, name, bytes) == 0)
            return &options[i];
    return NULL;
}

/* Takes the option at *at_inout and its value. */
static enum config_action take_argument(struct parser *parser, char **argv, int argc, int *at_inout, bool *is_given)
{
    const char *argument = argv[(*at_inout)++];
    size_t bytes = strcspn(argument, "=");
    const struct option *option = strncmp(argument, "--", 2) == 0 ? option_find(argument + 2, bytes - 2) : NULL;
    (void)snprintf(parser->name, sizeof parser->name, "%.*s", (int)(bytes < 60 ? bytes : 60), argument);
    if (option == NULL) {
        (void)snprintf(parser->text, parser->text_bytes,
                       "chitchat: unknown option %.200s: `chitchat --help` lists them all", argument);
        return CONFIG_ERROR;
    }
    const char *given = argument[bytes] == '=' ? argument + bytes + 1 : NULL;
    if (given == NULL && *at_inout == argc)
        return complain(parser, "", "needs a value after it");
    if (given == NULL)
        given = argv[(*at_inout)++];
    if (!is_given[option - options])
        forget(parser->config, option);
    is_given[option - options] = true;
    return take_value(parser, option, given);
}

static enum config_action take_arguments(struct parser *parser, int argc, char **argv)
{
    bool is_given[OPTION_COUNT] = {false};
    enum config_action action = CONFIG_SERVE;
    int at = 2;
    while (at < argc && action == CONFIG_SERVE)
        action = take_argument(parser, argv, argc, &at, is_given);
    return action;
}

/* An error is one line, whatever stood in the arguments. */
static void make_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* -- help -- */

struct writer {
    char *text;
    size_t bytes;
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) put(struct writer *writer, const char *format, ...);

static void put(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(writer->text + writer->used, writer->bytes - writer->used, format, arguments);
    va_end(arguments);
    writer->used += more > 0 ? (size_t)more : 0;
    if (writer->used >= writer->bytes)
        writer->used = writer->bytes - 1;
}

#define HELP_INDENT 29

static void put_option(struct writer *writer, const struct option *option)
{
    char left[64];
    (void)snprintf(left, sizeof left, "--%s %s", option->name, option->value);
    put(writer, "  %-*s", HELP_INDENT - 2, left);
    for (const char *line = option->help; line != NULL;) {
        const char *end = strchr(line, '\n');
        int bytes = end != NULL ? (int)(end - line) : (int)strlen(line);
        put(writer, "%*s%.*s%s", line == option->help ? 0 : HELP_INDENT, "", bytes, line, end != NULL ? "\n" : "");
        line = end != NULL ? end + 1 : NULL;
    }
    char fallback[24];
    config_value_write(option->fallback, option->kind == OPTION_BYTES, fallback);
    if (option->bytes != 0 && option->fallback != 0)
        put(writer, " (default %s)", fallback);
    put(writer, "\n");
}

static enum config_action write_help(char *text, size_t text_bytes)
{
    struct writer writer = {text, text_bytes, 0};
    put(&writer, "chitchat: a chat server over WebSockets that loses nothing.\n\n"
                 "Usage:\n"
                 "  chitchat serve [options]   serve until SIGTERM or SIGINT\n"
                 "  chitchat --help            this text\n"
                 "  chitchat --version         the version\n\n"
                 "Options of serve:\n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        put_option(&writer, &options[i]);
    put(&writer, "\n"
                 "Every option may be given as --name VALUE or --name=VALUE, or in the environment as\n"
                 "CHITCHAT_NAME (CHITCHAT_PING_S=25), with commas between values where it repeats;\n"
                 "the command line wins. BYTES may end in K, M or G (1024, 1024^2, 1024^3).\n\n"
                 "Clients connect to ws://ADDR:PORT/ws; http://ADDR:PORT/ is a page to try it by.\n");
    return CONFIG_HELP;
}

static bool is_one_of(const char *argument, const char *one, const char *other, const char *third)
{
    return strcmp(argument, one) == 0 || strcmp(argument, other) == 0 || strcmp(argument, third) == 0;
}

static enum config_action parse_serve(struct parser *parser, int argc, char **argv, char *const *environment)
{
    if (argc < 2 || strcmp(argv[1], "serve") != 0) {
        (void)snprintf(parser->text, parser->text_bytes,
                       "chitchat: %s%.200s: say `chitchat serve`; `chitchat --help` tells more",
                       argc < 2 ? "no command given" : "unknown command ", argc < 2 ? "" : argv[1]);
        return CONFIG_ERROR;
    }
    set_defaults(parser->config);
    enum config_action action = take_environment(parser, environment);
    return action == CONFIG_SERVE ? take_arguments(parser, argc, argv) : action;
}

static bool asks_for_help(int argc, char **argv)
{
    if (argc > 1 && is_one_of(argv[1], "help", "-h", "--help"))
        return true;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

enum config_action config_parse(int argc, char **argv, char *const *environment, struct config *config_r, char *text,
                                size_t text_bytes)
{
    ASSERT(text_bytes > 0);
    struct parser parser = {.config = config_r, .text = text, .text_bytes = text_bytes};
    text[0] = '\0';
    if (asks_for_help(argc, argv))
        return write_help(text, text_bytes);
    if (argc > 1 && is_one_of(argv[1], "version", "-V", "--version")) {
        (void)snprintf(text, text_bytes, "chitchat %s\n", CHITCHAT_VERSION);
        return CONFIG_VERSION;
    }
    enum config_action action = parse_serve(&parser, argc, argv, environment);
    if (action == CONFIG_ERROR)
        make_one_line(text);
    return action;
}
