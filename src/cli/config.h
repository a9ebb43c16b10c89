/*
 * config.h: the command line, the environment and the file of --config, checked and complete. Pure, but for reading
 * that file; main's thread.
 *
 * Each command takes the options of its table (config_tables.c), as `--name value` or `--name=value`. Those of `serve`,
 * and --data of all commands, may also be in the environment as CHITCHAT_NAME (upper case, _ for -); those of `serve`
 * in a file (config_file.h). The command line wins over the environment, and that over the file. Options that repeat
 * are comma separated in the environment, and stand on lines of their own in the file; where they are given again, they
 * replace those of the weaker source. An error is one line that names the option, or the file and the line, and says
 * what is allowed. Names in the environment that begin with CHITCHAT_ and are no option of `serve` are noted, for a
 * warning.
 */
#ifndef CHITCHAT_CLI_CONFIG_H
#define CHITCHAT_CLI_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/network.h"
#include "cli/config_file.h"
#include "protocol/host.h"
#include "protocol/origin.h"

#define CONFIG_LISTENS_MAX 16u
#define CONFIG_ADDRESS_BYTES 124u /* of a node: fits into the reason of a close frame */
#define CONFIG_ADMINS_MAX 8u
#define CONFIG_ORIGINS_MAX 16u
#define CONFIG_ORIGIN_BYTES 256u
#define CONFIG_HOSTS_MAX 16u
#define CONFIG_HOST_BYTES (HOST_TEXT_BYTES_MAX + 1)
/* --trust-proxy 16 times; loopback is two networks. */
#define CONFIG_PROXIES_MAX 16u
#define CONFIG_NETWORKS_MAX (2 * CONFIG_PROXIES_MAX)
#define CONFIG_SHARDS_MAX 64u
#define CONFIG_TOKEN_KEYS_MAX 8u
#define CONFIG_TOKEN_AUDIENCES_MAX 8u
#define CONFIG_CLAIM_BYTES 257u /* of a claim's name or value, with a NUL */
#define CONFIG_PATH_BYTES 1024u
#define CONFIG_UNKNOWN_MAX 16u
/* Options of one command. */
#define CONFIG_OPTIONS_MAX 128u
/* Room for the help. */
#define CONFIG_TEXT_BYTES 32768u

enum config_action {
    CONFIG_SERVE, /* *config_r is filled, as for the other commands, which use data_dir and their own fields */
    CONFIG_VERIFY,
    CONFIG_DUMP,
    CONFIG_COMPACT,
    CONFIG_BACKUP,
    CONFIG_RESTORE,
    CONFIG_RESHARD,
    CONFIG_IMPORT,
    CONFIG_TOKEN,
    CONFIG_STATUS,
    CONFIG_CHAT,
    CONFIG_SEND,
    CONFIG_HISTORY,
    CONFIG_CLUSTER,
    CONFIG_HELP,    /* print `text` to stdout, exit 0 */
    CONFIG_VERSION, /* the same: one line */
    CONFIG_ERROR,   /* print `text` (one line, no newline at its end) to stderr, exit 2 */
};

/* Who may log in. */
enum config_auth {
    CONFIG_AUTH_NONE,  /* anybody, as any user */
    CONFIG_AUTH_TOKEN, /* who has a token, as the user that it names */
};

/* Whom a user sees online. */
enum config_presence {
    CONFIG_PRESENCE_PEERS, /* users with whom they have a conversation */
    CONFIG_PRESENCE_OFF,   /* nobody */
    CONFIG_PRESENCE_ALL,   /* everybody */
};

/* What a message of a cluster must survive once it is acknowledged. */
enum config_log_durability {
    CONFIG_LOG_STANDBY, /* the loss of a log server */
    CONFIG_LOG_SINGLE,  /* a crash of the log server */
};

struct config_listen {
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char text[INET6_ADDRSTRLEN + 8]; /* 127.0.0.1:8080 or [::1]:8080, for the log */
    bool is_tls;
};

struct config {
    struct config_listen listens[CONFIG_LISTENS_MAX];
    uint32_t listen_count;                          /* at least 1 */
    struct config_listen admins[CONFIG_ADMINS_MAX]; /* of --admin and --admin-tls */
    uint32_t admin_count;
    const char *admin_token_file;              /* a file; NULL: none */
    const char *admin_claim;                   /* the claim of programs that may use the HTTP API on public addresses */
    const char *tls_cert;                      /* path, borrowed as data_dir; NULL: no TLS */
    const char *tls_key;                       /* path, borrowed; NULL: no TLS */
    uint32_t tls_handshakes;                   /* of a shard at a time */
    const char *data_dir;                      /* borrowed from argv or the environment */
    uint32_t shards;                           /* 0: as many as the data directory has; a new one: as many as cores */
    struct origin origins[CONFIG_ORIGINS_MAX]; /* as http.h takes them; point into origin_texts */
    uint32_t origin_count;
    enum config_auth auth;
    uint32_t allows_anyone;                        /* 1: --auth none beyond loopback */
    const char *token_secrets;                     /* a file; NULL: none */
    const char *token_keys[CONFIG_TOKEN_KEYS_MAX]; /* files; point into token_key_texts */
    uint32_t token_key_count;
    const char *token_claim;                                 /* the claim that names the user */
    const char *token_audiences[CONFIG_TOKEN_AUDIENCES_MAX]; /* point into token_audience_texts */
    uint32_t token_audience_count;                           /* 0: not checked */
    const char *token_audience;                              /* of `chitchat token`; NULL: none */
    const char *token_issuer;                                /* NULL: not checked */
    struct host hosts[CONFIG_HOSTS_MAX]; /* names of the server, as http.h takes them; point into host_texts */
    uint32_t host_count;
    uint32_t proxy_count;                         /* of --trust-proxy */
    struct network networks[CONFIG_NETWORKS_MAX]; /* of trusted proxies */
    uint32_t network_count;
    uint32_t address_connections; /* of one address at a time, 0: no limit; the same for the rates below */
    uint32_t address_rate;        /* new connections a second of one address */
    uint32_t address_login_rate;  /* failed logins a second of one address */
    uint32_t limit_loopback;      /* 1: loopback addresses have these limits too; 0: they have none */
    uint32_t user_connections;    /* of one user at a time */
    uint32_t frame_rate;          /* frames a second of one connection */
    uint32_t send_rate;           /* sends a second of one user */
    uint32_t history_rate;        /* requests for pages a second of one connection */
    enum config_presence presence;
    uint32_t login_time_s;   /* from the accept to the complete login */
    uint32_t ping_s;         /* silence before a ping; three times that closes the connection */
    uint32_t output_bytes;   /* that may wait for one connection before it is closed */
    uint64_t memory_bytes;   /* of the whole server, 0: the sum that budget.h derives */
    uint64_t memtable_bytes; /* of one generation */
    uint32_t checkpoint_s;   /* between checkpoints, at most */
    uint32_t clock_leap_s;   /* a larger leap of the wall clock is followed only when it lasts */
    uint32_t clock_follow_s; /* so long */
    uint32_t wal_segment_bytes;
    uint32_t retention_s;        /* entries that are older are gone; 0: none are */
    uint32_t erase_within_s;     /* how long what is gone may stay in files */
    uint32_t connections;        /* of the whole server */
    uint32_t connections_wanted; /* before the limit of open files lowered them; 0: it did not */
    uint32_t drain_s;            /* over which 1001 is spread, at most; 0: all at once */
    uint32_t stop_time_s;
    enum log_level log_level;
    enum log_format log_format;
    const char *log_file;     /* path, borrowed; NULL: stderr */
    const char *user;         /* dump: of this user only; NULL: of all. token: whose it is */
    const char *secret_file;  /* token: sign with the first secret; NULL: not */
    const char *key_file;     /* token: sign with a private key; NULL: not */
    const char *new_secret;   /* token: make this file; NULL: not */
    const char *kid;          /* token: of the key; NULL: none */
    uint32_t for_s;           /* token: until it expires */
    const char *admin_url;    /* status: http://HOST:PORT of an admin address */
    const char *token_file;   /* status, chat, send, history: its first line is the token; NULL: none */
    const char *ca_file;      /* the same: who may have signed the certificate; NULL: the system's */
    uint32_t wants_json;      /* the same: 1: JSON, 0: text */
    const char *url;          /* chat, send, history: of the server, ws:// or wss:// */
    const char *to_user;      /* chat, send: the recipient; NULL: none */
    const char *with_user;    /* history: of this conversation; NULL: of all */
    const char *since;        /* history: a time; NULL: none */
    uint32_t limit;           /* history: entries at most; 0: not given */
    const char *key;          /* send: NULL: a random one */
    const char *message;      /* send: the text; NULL: it is on stdin */
    uint32_t timeout_s;       /* chat, send, history */
    uint32_t follows;         /* chat: 1: receives on after the end of stdin */
    const char *to_dir;       /* backup, reshard */
    uint32_t keep;            /* backup: so many stay; 0: all */
    const char *from_dir;     /* restore, reshard, cluster */
    const char *from_file;    /* import: "-" is stdin */
    const char *cluster_verb; /* cluster: init, join, leave, status; NULL: none */
    const char *cluster_name; /* cluster */
    const char *log_uris;     /* cluster: of the log servers, divided by spaces; NULL: none */
    uint32_t slots;           /* cluster: 0: not given */
    enum config_log_durability log_durability;
    const char *node;                        /* serve: the name of this node of a cluster; NULL: none */
    const char *advertise;                   /* serve: where clients reach this node; NULL: not known */
    uint32_t log_keep_max_s;                 /* serve: and what a node needs that is away */
    uint32_t log_keep_s;                     /* serve: how long the log of a cluster keeps what the runs have */
    bool is_given[CONFIG_OPTIONS_MAX];       /* by the place in the table of the command (config_is_given) */
    const char *unknown[CONFIG_UNKNOWN_MAX]; /* NAME=value in the environment that is no option; borrowed */
    uint32_t unknown_count;
    const char *config_file;           /* path, borrowed; NULL: none */
    uint32_t checks_only;              /* 1: serve checks everything and does not serve */
    char file_text[CONFIG_FILE_BYTES]; /* of config_file, divided; fields point into it */
    char origin_texts[CONFIG_ORIGINS_MAX][CONFIG_ORIGIN_BYTES];
    char token_key_texts[CONFIG_TOKEN_KEYS_MAX][CONFIG_PATH_BYTES];
    char token_audience_texts[CONFIG_TOKEN_AUDIENCES_MAX][CONFIG_CLAIM_BYTES];
    char host_texts[CONFIG_HOSTS_MAX][CONFIG_HOST_BYTES];
};

/* Whether an address, public or admin, speaks TLS. */
static inline bool config_has_tls(const struct config *config)
{
    bool has_tls = false;
    for (uint32_t i = 0; i < config->listen_count; i++)
        has_tls |= config->listens[i].is_tls;
    for (uint32_t i = 0; i < config->admin_count; i++)
        has_tls |= config->admins[i].is_tls;
    return has_tls;
}

/* Whether requests of programs may come: memory is reserved for them. */
static inline bool config_has_api(const struct config *config)
{
    return config->admin_count > 0 || config->auth == CONFIG_AUTH_TOKEN;
}

/* Reads `argv` (argv[0] is the program, argv[1] the command) and `environment` (NULL-terminated, or NULL), which must
 * live as long as *config_r. *config_r points into itself: do not copy it. `text` has room for `text_bytes`
 * (CONFIG_TEXT_BYTES is enough); a longer text is cut. */
enum config_action config_parse(int argc, char **argv, char *const *environment, struct config *config_r, char *text,
                                size_t text_bytes);

/* The URL that clients of this node get: --advertise, with the path /ws if it has none; "": not known. After
 * config_parse, of a command that has the option. Any thread. */
void config_address(const struct config *config, char out[CONFIG_ADDRESS_BYTES]);

/* Whether the option `name` of `serve` was given, by whatever way; asserted to exist. After CONFIG_SERVE. */
bool config_is_given(const struct config *config, const char *name);

#endif
