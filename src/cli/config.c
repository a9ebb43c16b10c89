#include "cli/config.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cli/config_command.h"
#include "cli/config_file.h"
#include "cli/config_value.h"

/* The command that is parsed, where its values go, and where an error goes. */
struct parser {
    const struct command *command;
    struct config *config;
    char *text;
    size_t text_bytes;
    char where[CONFIG_PATH_BYTES + 16]; /* FILE:LINE: , or nothing */
    char name[64];                      /* of the option, as the user wrote it: --ping-s, CHITCHAT_PING_S or ping-s */
};

static const struct option *option_find(const struct command *command, const char *name, size_t bytes)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (strlen(command->options[i].name) == bytes && memcmp(command->options[i].name, name, bytes) == 0)
            return &command->options[i];
    return NULL;
}

static enum config_action complain(struct parser *parser, const char *given, const char *wanted)
{
    (void)snprintf(parser->text, parser->text_bytes, "chitchat: %s%s%s%.200s: %s", parser->where, parser->name,
                   given[0] != '\0' ? " " : "", given, wanted);
    return CONFIG_ERROR;
}

static void field_store(struct config *config, const struct option *option, uint64_t value)
{
    ASSERT(option->bytes == sizeof(uint32_t) || option->bytes == sizeof value);
    ASSERT(value <= option->max);
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
    ASSERT(option->step > 0);
    if (!config_value_number(given, option->kind == OPTION_BYTES, &value) || value < option->min || value > option->max
        || value % option->step != 0)
        return complain_of_number(parser, option, given);
    field_store(parser->config, option, value);
    return CONFIG_SERVE;
}

static enum config_action take_listen(struct parser *parser, const char *given, bool is_tls)
{
    struct config *config = parser->config;
    if (config->listen_count == CONFIG_LISTENS_MAX)
        return complain(parser, given, "is one address too many: 16 at most");
    if (!config_value_listen(given, &config->listens[config->listen_count]))
        return complain(parser, given,
                        "must be ADDR:PORT with a numeric address, as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080");
    if (config_value_is_mapped(&config->listens[config->listen_count]))
        return complain(parser, given, "is an IPv4 address in the form of IPv6: write it as 127.0.0.1:8080");
    config->listens[config->listen_count++].is_tls = is_tls;
    return CONFIG_SERVE;
}

static enum config_action take_admin(struct parser *parser, const char *given, bool is_tls)
{
    struct config *config = parser->config;
    if (config->admin_count == CONFIG_ADMINS_MAX)
        return complain(parser, given, "is one admin address too many: 8 at most");
    if (!config_value_listen(given, &config->admins[config->admin_count]))
        return complain(parser, given, "must be ADDR:PORT with a numeric address, as 127.0.0.1:8081 or [::1]:8081");
    if (config_value_is_mapped(&config->admins[config->admin_count]))
        return complain(parser, given, "is an IPv4 address in the form of IPv6: write it as 127.0.0.1:8081");
    config->admins[config->admin_count++].is_tls = is_tls;
    return CONFIG_SERVE;
}

static enum config_action take_origin(struct parser *parser, const char *given)
{
    struct config *config = parser->config;
    struct origin origin;
    if (config->origin_count == CONFIG_ORIGINS_MAX)
        return complain(parser, given, "is one origin too many: 16 at most");
    if (!config_value_origin(given, &origin))
        return complain(parser, given[0] == '\0' ? "\"\"" : given,
                        "must be SCHEME://HOST or SCHEME://HOST:PORT without a path, as https://example.org; "
                        "https://*.example.org for all names below example.org; SCHEME:// for pages without a host, as "
                        "file://; null; or * for all. The scheme is that of the page, not ws or wss");
    char *text = config->origin_texts[config->origin_count];
    memcpy(text, given, strlen(given) + 1);
    bool is_good = config_value_origin(text, &config->origins[config->origin_count++]);
    ASSERT(is_good);
    return CONFIG_SERVE;
}

static enum config_action take_network(struct parser *parser, const char *given)
{
    struct config *config = parser->config;
    bool is_loopback = strcmp(given, "loopback") == 0;
    if (config->proxy_count == CONFIG_PROXIES_MAX)
        return complain(parser, given, "is one network too many: 16 at most");
    struct network *networks = &config->networks[config->network_count];
    enum network_verdict verdict = network_parse(span_of(is_loopback ? "127.0.0.0/8" : given), &networks[0]);
    if (verdict == NETWORK_LOOSE)
        return complain(parser, given,
                        "has bits after the prefix: write the first address of the network, as 10.0.0.0/8");
    if (verdict != NETWORK_GOOD)
        return complain(parser, given[0] == '\0' ? "\"\"" : given,
                        "must be a network or an address, as 10.0.0.0/8, fd00::/8 or 192.0.2.7; or loopback");
    if (is_loopback) {
        verdict = network_parse(SPAN_LITERAL("::1"), &networks[1]);
        ASSERT(verdict == NETWORK_GOOD);
    }
    config->network_count += is_loopback ? 2 : 1;
    config->proxy_count++;
    return CONFIG_SERVE;
}

/* The place of `given` in the list `names`, which ends with NULL; -1: it is not in it. */
static int choice_find(const char *const *names, const char *given)
{
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], given) == 0)
            return i;
    return -1;
}

static enum config_action take_level(struct parser *parser, const char *given)
{
    static const char *const names[] = {
        [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
    int choice = choice_find(names, given);
    if (choice < 0)
        return complain(parser, given, "must be error, warn, info or debug");
    parser->config->log_level = (enum log_level)choice;
    return CONFIG_SERVE;
}

static enum config_action take_log_format(struct parser *parser, const char *given)
{
    static const char *const names[] = {[LOG_LOGFMT] = "logfmt", [LOG_JSON] = "json", NULL};
    int choice = choice_find(names, given);
    if (choice < 0)
        return complain(parser, given, "must be logfmt or json");
    parser->config->log_format = (enum log_format)choice;
    return CONFIG_SERVE;
}

static enum config_action take_host(struct parser *parser, const char *given)
{
    struct config *config = parser->config;
    struct host host;
    if (config->host_count == CONFIG_HOSTS_MAX)
        return complain(parser, given, "is one host too many: 16 at most");
    if (!config_value_host(given, &host))
        return complain(parser, given[0] == '\0' ? "\"\"" : given,
                        "must be a host name, as chat.example.org, or with a port from 1 to 65535, as "
                        "chat.example.org:8443; no URL and no wildcard");
    char *text = config->host_texts[config->host_count];
    memcpy(text, given, strlen(given) + 1);
    bool is_good = config_value_host(text, &config->hosts[config->host_count++]);
    ASSERT(is_good);
    return CONFIG_SERVE;
}

static enum config_action take_auth(struct parser *parser, const char *given)
{
    bool is_token = strcmp(given, "token") == 0;
    if (!is_token && strcmp(given, "none") != 0)
        return complain(parser, given, "must be none or token");
    parser->config->auth = is_token ? CONFIG_AUTH_TOKEN : CONFIG_AUTH_NONE;
    return CONFIG_SERVE;
}

static enum config_action take_presence(struct parser *parser, const char *given)
{
    static const char *const names[] = {
        [CONFIG_PRESENCE_PEERS] = "peers", [CONFIG_PRESENCE_OFF] = "off", [CONFIG_PRESENCE_ALL] = "all", NULL};
    int choice = choice_find(names, given);
    if (choice < 0)
        return complain(parser, given, "must be all, peers or off");
    parser->config->presence = (enum config_presence)choice;
    return CONFIG_SERVE;
}

static enum config_action take_log_durability(struct parser *parser, const char *given)
{
    static const char *const names[] = {[CONFIG_LOG_STANDBY] = "standby", [CONFIG_LOG_SINGLE] = "single", NULL};
    int choice = choice_find(names, given);
    if (choice < 0)
        return complain(parser, given, "must be standby or single");
    parser->config->log_durability = (enum config_log_durability)choice;
    return CONFIG_SERVE;
}

static enum config_action take_flag(struct parser *parser, const struct option *option, const char *given)
{
    bool is_yes = strcmp(given, "yes") == 0;
    if (!is_yes && strcmp(given, "no") != 0)
        return complain(parser, given, "must be yes or no");
    field_store(parser->config, option, is_yes);
    return CONFIG_SERVE;
}

static enum config_action take_duration(struct parser *parser, const struct option *option, const char *given)
{
    uint64_t seconds;
    char wanted[CONFIG_VALUE_WANTED_BYTES];
    if (!config_value_duration_within(given, option->min, option->max, &seconds, wanted))
        return complain(parser, given, wanted);
    field_store(parser->config, option, seconds);
    return CONFIG_SERVE;
}

static enum config_action take_token_keys(struct parser *parser, const char *given)
{
    struct config *config = parser->config;
    if (config->token_key_count == CONFIG_TOKEN_KEYS_MAX)
        return complain(parser, given, "is one file too many: 8 at most");
    if (given[0] == '\0' || strlen(given) >= CONFIG_PATH_BYTES)
        return complain(parser, given[0] == '\0' ? "\"\"" : given, "must name a file, in less than 1024 bytes");
    char *text = config->token_key_texts[config->token_key_count];
    memcpy(text, given, strlen(given) + 1);
    config->token_keys[config->token_key_count++] = text;
    return CONFIG_SERVE;
}

static enum config_action take_kind(struct parser *parser, const struct option *option, const char *given)
{
    switch (option->kind) {
    case OPTION_LISTEN: return take_listen(parser, given, false);
    case OPTION_LISTEN_TLS: return take_listen(parser, given, true);
    case OPTION_ADMIN: return take_admin(parser, given, false);
    case OPTION_ADMIN_TLS: return take_admin(parser, given, true);
    case OPTION_ORIGIN: return take_origin(parser, given);
    case OPTION_HOST: return take_host(parser, given);
    case OPTION_NETWORK: return take_network(parser, given);
    case OPTION_NUMBER:
    case OPTION_BYTES: return take_number(parser, option, given);
    case OPTION_LEVEL: return take_level(parser, given);
    case OPTION_LOG_FORMAT: return take_log_format(parser, given);
    case OPTION_LOG_DURABILITY: return take_log_durability(parser, given);
    case OPTION_AUTH: return take_auth(parser, given);
    case OPTION_PRESENCE: return take_presence(parser, given);
    case OPTION_FLAG: return take_flag(parser, option, given);
    case OPTION_DURATION: return take_duration(parser, option, given);
    case OPTION_TOKEN_KEYS: return take_token_keys(parser, given);
    case OPTION_DIR:
    case OPTION_FILE:
    case OPTION_TEXT:
    case OPTION_TOKEN_AUDIENCE:
    case OPTION_USER:
    case OPTION_ANY: break;
    }
    const char *wrong = config_take_text(parser->config, option, given);
    if (wrong != NULL)
        return complain(parser, given[0] == '\0' ? "\"\"" : given, wrong);
    return CONFIG_SERVE;
}

static enum config_action take_value(struct parser *parser, const struct option *option, const char *given)
{
    size_t index = (size_t)(option - parser->command->options);
    ASSERT(index < CONFIG_OPTIONS_MAX);
    parser->config->is_given[index] = true;
    return take_kind(parser, option, given);
}

bool config_is_given(const struct config *config, const char *name)
{
    const struct option *option = option_find(&config_commands[0], name, strlen(name));
    ASSERT(config_commands[0].action == CONFIG_SERVE);
    ASSERT(option != NULL);
    return config->is_given[option - config_commands[0].options];
}

static void set_defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
    config->data_dir = "./data";
    config->token_claim = "sub";
    config->admin_url = "http://127.0.0.1:8081";
    config->admin_claim = "admin";
    config->cluster_name = "chitchat";
    config->url = "ws://127.0.0.1:8080/ws";
    config->log_level = LOG_INFO;
    for (size_t c = 0; c < config_command_count; c++)
        for (size_t i = 0; i < config_commands[c].option_count; i++)
            if (config_commands[c].options[i].bytes != 0)
                field_store(config, &config_commands[c].options[i], config_commands[c].options[i].fallback);
}

/* -- the environment -- */

static void environment_name(const struct option *option, char name[64])
{
    int used = snprintf(name, 64, "CHITCHAT_%s", option->name);
    for (int i = 0; i < used; i++)
        name[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
}

_Static_assert(CONFIG_PATH_BYTES >= CONFIG_HOST_BYTES && CONFIG_PATH_BYTES >= CONFIG_ORIGIN_BYTES,
               "a value that is too long is still too long when cut");

static enum config_action take_list(struct parser *parser, const struct option *option, const char *given)
{
    enum config_action action = CONFIG_SERVE;
    config_forget(parser->config, option);
    while (action == CONFIG_SERVE) {
        char piece[CONFIG_PATH_BYTES + 1];
        size_t bytes = strcspn(given, ",");
        (void)snprintf(piece, sizeof piece, "%.*s", (int)(bytes < sizeof piece ? bytes : sizeof piece), given);
        action = take_value(parser, option, piece);
        if (given[bytes] == '\0')
            break;
        given += bytes + 1;
    }
    return action;
}

/* All options of `serve` but --check, but only --data of the other commands: a CHITCHAT_USER that was set for something
 * else changes nothing. */
static bool is_in_environment(const struct command *command, size_t option)
{
    if (command->action != CONFIG_SERVE)
        return strcmp(command->options[option].name, "data") == 0;
    return strcmp(command->options[option].name, "check") != 0;
}

static bool is_known(const char *variable)
{
    char name[64];
    for (size_t c = 0; c < config_command_count; c++)
        for (size_t i = 0; i < config_commands[c].option_count; i++) {
            environment_name(&config_commands[c].options[i], name);
            size_t bytes = strlen(name);
            if (is_in_environment(&config_commands[c], i) && strncmp(variable, name, bytes) == 0
                && variable[bytes] == '=')
                return true;
        }
    return false;
}

/* Not an error, since container systems set CHITCHAT_PORT and the like for a service of that name. CHITCHAT_INJECT is
 * of the library that makes the disk fail in tests. */
static void note_unknown(struct config *config, char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, "CHITCHAT_", 9) == 0 && strncmp(*environment, "CHITCHAT_INJECT=", 16) != 0
            && !is_known(*environment) && config->unknown_count < CONFIG_UNKNOWN_MAX)
            config->unknown[config->unknown_count++] = *environment;
}

static enum config_action take_environment(struct parser *parser, char *const *environment)
{
    for (size_t i = 0; i < parser->command->option_count; i++) {
        const struct option *option = &parser->command->options[i];
        environment_name(option, parser->name);
        const char *given = config_value_environment(environment, parser->name);
        if (given == NULL || !is_in_environment(parser->command, i))
            continue;
        enum config_action action =
            config_is_repeatable(option) ? take_list(parser, option, given) : take_value(parser, option, given);
        if (action != CONFIG_SERVE)
            return action;
    }
    note_unknown(parser->config, environment);
    return CONFIG_SERVE;
}

/* -- the file of --config -- */

static enum config_action take_entry(struct parser *parser, const char *name, const char *value)
{
    const struct option *option = option_find(parser->command, name, strlen(name));
    (void)snprintf(parser->name, sizeof parser->name, "%.60s", name);
    if (option == NULL)
        return complain(parser, "", "is no option: write the name without --, as `chitchat serve --help` lists it");
    if (strcmp(name, "config") == 0 || strcmp(name, "check") == 0)
        return complain(parser, "", "does not belong into this file: give it on the command line");
    if (parser->config->is_given[option - parser->command->options] && !config_is_repeatable(option))
        return complain(parser, "", "stands in this file twice: leave one of them out");
    return take_value(parser, option, value);
}

static enum config_action take_file(struct parser *parser, const char *path)
{
    struct config *config = parser->config;
    struct config_file file;
    char wrong[160];
    const char *name, *value;
    enum config_action action = CONFIG_SERVE;
    if (!config_file_read(path, config->file_text, &file, wrong, sizeof wrong)) {
        (void)snprintf(parser->text, parser->text_bytes, "chitchat: --config %.1000s", path);
        size_t used = strlen(parser->text);
        if (file.line > 0)
            (void)snprintf(parser->text + used, parser->text_bytes - used, ":%u: it %s", file.line, wrong);
        else
            (void)snprintf(parser->text + used, parser->text_bytes - used, ": it %s", wrong);
        return CONFIG_ERROR;
    }
    while (action == CONFIG_SERVE) {
        enum config_file_step step = config_file_next(&file, &name, &value);
        if (step == CONFIG_FILE_END)
            break;
        (void)snprintf(parser->where, sizeof parser->where, "%.1000s:%u: ", path, file.line);
        (void)snprintf(parser->name, sizeof parser->name, "%.60s", name);
        action = step == CONFIG_FILE_ENTRY ? take_entry(parser, name, value) : complain(parser, "", value);
    }
    parser->where[0] = '\0';
    return action;
}

/* The file of the command line, or of the environment; none is fine. */
static enum config_action take_any_file(struct parser *parser, const char *path, char *const *environment)
{
    if (path == NULL && parser->command->action == CONFIG_SERVE)
        path = config_value_environment(environment, "CHITCHAT_CONFIG");
    return path == NULL ? CONFIG_SERVE : take_file(parser, path);
}

/* -- the command line -- */

/* The value of --config on the command line, the last one; NULL: it is not there. Errors are found later. */
static const char *config_argument(const struct command *command, int argc, char **argv)
{
    const char *path = NULL;
    for (int i = 2; i < argc; i++) {
        size_t bytes = strcspn(argv[i], "=");
        const struct option *option =
            strncmp(argv[i], "--", 2) == 0 ? option_find(command, argv[i] + 2, bytes - 2) : NULL;
        if (option == NULL)
            break;
        bool has_value = argv[i][bytes] == '=';
        bool is_config = strcmp(option->name, "config") == 0;
        if (is_config && (has_value || i + 1 < argc))
            path = has_value ? argv[i] + bytes + 1 : argv[i + 1];
        if (!has_value && option->kind != OPTION_FLAG)
            i++;
    }
    return path;
}

/* Takes what stands without a name: in the tables, the option whose name is empty. */
static enum config_action take_operand(struct parser *parser, const char *given, bool *is_given)
{
    const struct option *option = option_find(parser->command, "", 0);
    if (option == NULL) {
        (void)snprintf(parser->text, parser->text_bytes,
                       "chitchat: unknown option %.200s: `chitchat %s --help` lists them all", given,
                       parser->command->name);
        return CONFIG_ERROR;
    }
    (void)snprintf(parser->name, sizeof parser->name, "%s", option->value);
    if (is_given[option - parser->command->options])
        return complain(parser, given, "is one too many: quote a text that has blanks");
    is_given[option - parser->command->options] = true;
    return take_value(parser, option, given);
}

/* Takes the option at *at_inout and its value. */
static enum config_action take_argument(struct parser *parser, char **argv, int argc, int *at_inout, bool *is_given)
{
    ASSERT(*at_inout < argc);
    const char *argument = argv[(*at_inout)++];
    size_t bytes = strcspn(argument, "=");
    if (strcmp(argument, "--") == 0 && *at_inout < argc)
        return take_operand(parser, argv[(*at_inout)++], is_given);
    if (argument[0] != '-')
        return take_operand(parser, argument, is_given);
    const struct option *option = NULL;
    if (strncmp(argument, "--", 2) == 0 && bytes > 2)
        option = option_find(parser->command, argument + 2, bytes - 2);
    (void)snprintf(parser->name, sizeof parser->name, "%.*s", (int)(bytes < 60 ? bytes : 60), argument);
    if (option == NULL) {
        (void)snprintf(parser->text, parser->text_bytes,
                       "chitchat: unknown option %.200s: `chitchat %s --help` lists them all", argument,
                       parser->command->name);
        return CONFIG_ERROR;
    }
    const char *given = argument[bytes] == '=' ? argument + bytes + 1 : NULL;
    if (given == NULL && option->kind == OPTION_FLAG)
        given = "yes";
    if (given == NULL && *at_inout == argc)
        return complain(parser, "", "needs a value after it");
    if (given == NULL)
        given = argv[(*at_inout)++];
    if (!is_given[option - parser->command->options])
        config_forget(parser->config, option);
    is_given[option - parser->command->options] = true;
    return take_value(parser, option, given);
}

static enum config_action take_arguments(struct parser *parser, int argc, char **argv)
{
    const struct command *command = parser->command;
    bool is_given[CONFIG_OPTIONS_MAX] = {false};
    enum config_action action = CONFIG_SERVE;
    int at = 2;
    while (at < argc && action == CONFIG_SERVE)
        action = take_argument(parser, argv, argc, &at, is_given);
    for (size_t i = 0; i < command->option_count && action == CONFIG_SERVE; i++)
        if (command->needed != NULL && strcmp(command->options[i].name, command->needed) == 0 && !is_given[i]) {
            (void)snprintf(parser->text, parser->text_bytes, "chitchat: %s needs --%s %s: see `chitchat %s --help`",
                           command->name, command->options[i].name, command->options[i].value, command->name);
            action = CONFIG_ERROR;
        }
    return action;
}

static bool is_one_of(const char *argument, const char *one, const char *other, const char *third)
{
    return strcmp(argument, one) == 0 || strcmp(argument, other) == 0 || strcmp(argument, third) == 0;
}

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < config_command_count; i++)
        if (strcmp(config_commands[i].name, name) == 0)
            return &config_commands[i];
    return NULL;
}

static enum config_action parse_command(struct parser *parser, int argc, char **argv, char *const *environment)
{
    if (parser->command == NULL) {
        (void)snprintf(parser->text, parser->text_bytes,
                       "chitchat: %s%.200s: use `chitchat serve`, or see `chitchat --help`",
                       argc < 2 ? "no command given" : "unknown command ", argc < 2 ? "" : argv[1]);
        return CONFIG_ERROR;
    }
    set_defaults(parser->config);
    enum config_action action = take_any_file(parser, config_argument(parser->command, argc, argv), environment);
    if (action == CONFIG_SERVE)
        action = take_environment(parser, environment);
    if (action == CONFIG_SERVE)
        action = take_arguments(parser, argc, argv);
    if (action == CONFIG_SERVE)
        config_complete(parser->config);
    if (action != CONFIG_SERVE)
        return action;
    action = parser->command->action;
    return config_check(parser->config, action, parser->text, parser->text_bytes) ? action : CONFIG_ERROR;
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
    ASSERT(config_r != NULL);
    struct parser parser = {.config = config_r, .text = text, .text_bytes = text_bytes};
    text[0] = '\0';
    parser.command = argc > 1 ? command_find(argv[1]) : NULL;
    if (asks_for_help(argc, argv)) {
        config_write_help(parser.command, text, text_bytes);
        return CONFIG_HELP;
    }
    if (argc > 1 && is_one_of(argv[1], "version", "-V", "--version")) {
        (void)snprintf(text, text_bytes, "chitchat %s\n", CHITCHAT_VERSION);
        return CONFIG_VERSION;
    }
    enum config_action action = parse_command(&parser, argc, argv, environment);
    if (action == CONFIG_ERROR)
        config_make_one_line(text);
    return action;
}
