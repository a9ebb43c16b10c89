/*
 * config_tables.c: the commands and their options. What an option means stands here once: the parser, and the help
 * read these tables.
 */
#include <stddef.h>

#include "base/limits.h"
#include "base/rate.h"
#include "cli/config_command.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

#define FIELD(name) offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define NO_FIELD 0, 0, 0, 0, 0, 1
#define TEXT_FIELD(name) offsetof(struct config, name), 0, 0, 0, 0, 1

static const struct option serve_options[] = {
    {"config", "F", OPTION_FILE, TEXT_FIELD(config_file),
     "a file with options, one a line: name = value, names without --; lines that\n"
     "begin with # are comments; command line and environment win over it"},
    {"check", "", OPTION_FLAG, FIELD(checks_only), 0, 1, 0, 1,
     "check options, files, keys, addresses and data directory, and do not serve"},
    {"listen", "ADDR:PORT", OPTION_LISTEN, NO_FIELD,
     "the address to listen on; an IPv6 address needs brackets: [::1]:8080;\n"
     "may be given up to 16 times (default 127.0.0.1:8080)"},
    {"listen-tls", "ADDR:PORT", OPTION_LISTEN_TLS, NO_FIELD,
     "the same for TLS (wss:// and https://), beside --listen or alone; needs\n"
     "--tls-cert and --tls-key"},
    {"admin", "ADDR:PORT", OPTION_ADMIN, NO_FIELD,
     "an address for operators and programs: health checks, metrics, the HTTP API;\n"
     "on a loopback address, or with --admin-token-file; may be given up to 8\n"
     "times (default: none)"},
    {"admin-tls", "ADDR:PORT", OPTION_ADMIN_TLS, NO_FIELD, "the same for https://, beside --admin or alone"},
    {"admin-token-file", "F", OPTION_FILE, TEXT_FIELD(admin_token_file),
     "a file of tokens, one a line, of at least 32 characters, not readable by all:\n"
     "requests on the admin addresses must bear one, but for health checks; SIGHUP\n"
     "reads it again"},
    {"admin-claim", "NAME", OPTION_TEXT, TEXT_FIELD(admin_claim),
     "with --auth token: tokens whose claim of this name is true may use the HTTP\n"
     "API on the public addresses (default admin)"},
    {"tls-cert", "F", OPTION_FILE, TEXT_FIELD(tls_cert),
     "the certificate of --listen-tls and --admin-tls with its chain, PEM; SIGHUP\n"
     "reads it again"},
    {"tls-key", "F", OPTION_FILE, TEXT_FIELD(tls_key), "its private key, PEM, not encrypted, not readable by all"},
    {"tls-handshakes", "N", OPTION_NUMBER, FIELD(tls_handshakes), 1, 65536, 256, 1,
     "TLS handshakes of a shard at a time; one more ends the one that has waited\n"
     "longest for its client"},
    {"data", "DIR", OPTION_DIR, TEXT_FIELD(data_dir),
     "the data directory; created if it does not exist (default ./data)"},
    {"shards", "N", OPTION_NUMBER, FIELD(shards), 1, CONFIG_SHARDS_MAX, 0, 1,
     "threads that serve, each on its own core, 1 to 64; fixed when DIR is\n"
     "created (default: the number that DIR has; a new DIR: one for each core)"},
    {"origin", "ORIGIN", OPTION_ORIGIN, NO_FIELD,
     "web pages of this origin (https://example.org) may connect, besides those\n"
     "that the server itself serves; https://*.example.org: of each name below\n"
     "example.org, not of example.org itself; file://, null, capacitor://localhost:\n"
     "of pages without a host, and of apps; * for all; may be given up to 16 times"},
    {"host", "NAME[:PORT]", OPTION_HOST, NO_FIELD,
     "a name of this server (chat.example.org): web pages that it serves under\n"
     "this name may connect; with PORT, only those at that port; localhost and IP\n"
     "addresses need no option; may be given up to 16 times"},
    {"trust-proxy", "NET", OPTION_NETWORK, NO_FIELD,
     "a proxy has an address of this network (10.0.0.0/8, fd00::/8, 192.0.2.7 or\n"
     "loopback): the client's address and the Host that it forwards count; may be\n"
     "given up to 16 times (default: no proxy is trusted)"},
    {"auth", "none|token", OPTION_AUTH, NO_FIELD,
     "who may log in: anybody as any user, on loopback addresses only; or who\n"
     "has a token (default none)"},
    {"allow-anyone", "", OPTION_FLAG, FIELD(allows_anyone), 0, 1, 0, 1,
     "with --auth none, listen on other addresses too: whoever reaches them can\n"
     "log in as any user"},
    {"token-secrets", "F", OPTION_FILE, TEXT_FIELD(token_secrets),
     "with --auth token: a file of secrets for HS256, one a line, base64url;\n"
     "`chitchat token --new-secret F` makes one"},
    {"token-keys", "F", OPTION_TOKEN_KEYS, NO_FIELD,
     "with --auth token: a file of public keys for RS256, ES256 or EdDSA, in PEM\n"
     "or as a JWKS; may be given up to 8 times"},
    {"token-claim", "NAME", OPTION_TEXT, TEXT_FIELD(token_claim),
     "the claim of a token that names the user (default sub)"},
    {"token-audience", "A", OPTION_TOKEN_AUDIENCE, NO_FIELD,
     "the aud that a token must have; may be given up to 8 times, if tokens for\n"
     "any of several applications may log in (default: any or none)"},
    {"token-issuer", "I", OPTION_TEXT, TEXT_FIELD(token_issuer),
     "the iss that a token must have (default: any or none)"},
    {"connections", "N", OPTION_NUMBER, FIELD(connections), 1, 10000000, 100000, 1,
     "connections at a time; fewer if the limit of open files is lower"},
    {"address-connections", "N", OPTION_NUMBER, FIELD(address_connections), 0, 10000000, 10000, 1,
     "connections of one IPv4 address or IPv6 /64 at a time,\n0: no limit"},
    {"address-rate", "N", OPTION_NUMBER, FIELD(address_rate), 0, RATE_PER_SECOND_MAX, 1000, 1,
     "new connections a second from one address, 0: no limit"},
    {"address-login-rate", "N", OPTION_NUMBER, FIELD(address_login_rate), 0, RATE_PER_SECOND_MAX, 100, 1,
     "failed logins a second from one address, 0: no limit"},
    {"limit-loopback", "0|1", OPTION_NUMBER, FIELD(limit_loopback), 0, 1, 0, 1,
     "1: 127.0.0.0/8 and ::1 have the limits of an address too (default 0)"},
    {"user-connections", "N", OPTION_NUMBER, FIELD(user_connections), 1, 1000000, 1024, 1,
     "connections of one user at a time"},
    {"frame-rate", "N", OPTION_NUMBER, FIELD(frame_rate), 0, RATE_PER_SECOND_MAX, 5000, 1,
     "frames a second from one connection, 0: no limit"},
    {"send-rate", "N", OPTION_NUMBER, FIELD(send_rate), 0, RATE_PER_SECOND_MAX, 1000, 1,
     "sends and seen marks a second from one user, 0: no limit"},
    {"history-rate", "N", OPTION_NUMBER, FIELD(history_rate), 0, RATE_PER_SECOND_MAX, 100, 1,
     "pages of history and conversations, typing, watches and logins after the first\n"
     "a second for one connection, 0: no limit"},
    {"presence", "all|peers|off", OPTION_PRESENCE, NO_FIELD,
     "whom a user sees online: everybody; users with whom they have a conversation;\n"
     "or nobody (default peers)"},
    {"login-time-s", "S", OPTION_NUMBER, FIELD(login_time_s), 1, 3600, 10, 1,
     "seconds from the accept to the complete login"},
    {"ping-s", "S", OPTION_NUMBER, FIELD(ping_s), 1, 3600, 25, 1,
     "seconds of silence before a ping; three times that ends the\nconnection"},
    {"output-bytes", "BYTES", OPTION_BYTES, FIELD(output_bytes), 64 * KIB, GIB, 4 * MIB, 1,
     "output that may wait for one connection before it is closed as slow"},
    {"memory", "BYTES", OPTION_BYTES, FIELD(memory_bytes), 256 * MIB, 1024 * GIB, 0, 1,
     "memory of the whole server, without mapped data files, which are in the\n"
     "system's cache (default: 1G for each shard, or more if --memtable-bytes\n"
     "and --connections need it; at most 75 % of a container's memory limit)"},
    {"memtable-bytes", "BYTES", OPTION_BYTES, FIELD(memtable_bytes), MIB, 64 * GIB, 192 * MIB, 1,
     "memory for recent messages, of each of a shard's two generations"},
    {"checkpoint-s", "S", OPTION_NUMBER, FIELD(checkpoint_s), 1, 86400, 60, 1, "seconds between checkpoints, at most"},
    {"clock-leap-s", "S", OPTION_NUMBER, FIELD(clock_leap_s), 1, 86400, 60, 1,
     "a leap of the system's clock by more seconds is not followed at once: ts go on\n"
     "without it"},
    {"clock-follow-s", "S", OPTION_NUMBER, FIELD(clock_follow_s), 1, 31536000, 600, 1,
     "seconds that such a leap has to last before ts follow it"},
    {"wal-segment-bytes", "BYTES", OPTION_BYTES, FIELD(wal_segment_bytes), 4 * MIB, GIB, 32 * MIB, 4096,
     "size of a segment file of the write-ahead log"},
    {"retention", "TIME", OPTION_DURATION, FIELD(retention_s), 0, 100 * 366 * UINT64_C(86400), 0, 1,
     "messages older than this are gone from both timelines: 36h, 90d; 0: they\n"
     "stay for ever (default 0)"},
    {"erase-within", "TIME", OPTION_DURATION, FIELD(erase_within_s), 86400, 3660 * UINT64_C(86400), 7 * 86400, 1,
     "how long what was erased, or is older than --retention, may stay in the\n"
     "files: 1d at least (default 7d)"},
    {"cluster", "URI", OPTION_ANY, TEXT_FIELD(log_uris),
     "be a node of a cluster, whose log is in PostgreSQL: the URI that `chitchat\n"
     "cluster init` was given, or several; needs --node (default: no cluster; the\n"
     "log is in the data directory)"},
    {"cluster-name", "NAME", OPTION_TEXT, TEXT_FIELD(cluster_name), "of the cluster (default chitchat)"},
    {"node", "NAME", OPTION_TEXT, TEXT_FIELD(node),
     "with --cluster: the name of this node, 1 to 32 characters: a to z, 0 to 9,\n"
     "- . and _"},
    {"advertise", "URL", OPTION_TEXT, TEXT_FIELD(advertise),
     "with --cluster: where clients reach this node: wss://chat-1.example.org"},
    {"log-durability", "standby|single", OPTION_LOG_DURABILITY, NO_FIELD,
     "with --cluster: standby: what is acknowledged is on the disks of two log\n"
     "servers; single: of one, and lost with it (default standby)"},
    {"log-keep", "TIME", OPTION_DURATION, FIELD(log_keep_s), 0, 366 * UINT64_C(86400), 86400, 1,
     "with --cluster: how long the log keeps what is in the runs of this node\n"
     "already: 12h, 7d (default 1d)"},
    {"log-keep-max", "TIME", OPTION_DURATION, FIELD(log_keep_max_s), 60, 366 * UINT64_C(86400), 7 * 86400, 1,
     "with --cluster: how long the log keeps what a node lacks that is away\n(default 7d)"},
    {"drain-s", "S", OPTION_NUMBER, FIELD(drain_s), 0, 3600, 5, 1,
     "seconds over which a server that stops closes its connections, at most;\n"
     "it closes 1000 a second or more; 0: all at once"},
    {"stop-time-s", "S", OPTION_NUMBER, FIELD(stop_time_s), 1, 3600, 5, 1,
     "seconds that a stop may take after that; then the server ends at once"},
    {"log-file", "F", OPTION_FILE, TEXT_FIELD(log_file),
     "append log lines to F, which SIGHUP opens again (default: stderr)"},
    {"log-format", "FORMAT", OPTION_LOG_FORMAT, NO_FIELD, "logfmt, or json: an object a line (default logfmt)"},
    {"log-level", "LEVEL", OPTION_LEVEL, NO_FIELD,
     "error, warn, info or debug; debug adds the longest turn of each shard in each\n"
     "second, and what is still in use when nobody is connected (default info)"},
};

#define DATA_OPTION(help)                                                                                              \
    {                                                                                                                  \
        "data", "DIR", OPTION_DIR, TEXT_FIELD(data_dir), help                                                          \
    }

static const struct option verify_options[] = {
    DATA_OPTION("the data directory or backup to check (default ./data)"),
};

static const struct option dump_options[] = {
    DATA_OPTION("the data directory or backup to read (default ./data)"),
    {"user", "U", OPTION_USER, TEXT_FIELD(user), "only the timeline of this user"},
};

static const struct option compact_options[] = {
    DATA_OPTION("the data directory; no server may run on it (default ./data)"),
};

static const struct option backup_options[] = {
    DATA_OPTION("the data directory to copy; a server may run on it (default ./data)"),
    {"to", "DIR2", OPTION_DIR, TEXT_FIELD(to_dir),
     "the directory of backups; created if it does not exist, else it must be\n"
     "empty or have backups of DIR"},
    {"keep", "N", OPTION_NUMBER, FIELD(keep), 1, 1000000, 0, 1,
     "so many backups stay in DIR2; older ones are removed when the new one is\n"
     "complete (default: all stay)"},
};

static const struct option restore_options[] = {
    {"from", "DIR2", OPTION_DIR, TEXT_FIELD(from_dir),
     "the backup to restore, or a directory of backups: then the newest one"},
    DATA_OPTION("the data directory; created if it does not exist, else it must be\nempty (default ./data)"),
};

static const struct option reshard_options[] = {
    {"from", "DIR", OPTION_DIR, TEXT_FIELD(from_dir), "the data directory or backup to read; no server may run on it"},
    {"to", "DIR2", OPTION_DIR, TEXT_FIELD(to_dir),
     "the new data directory; created if it does not exist, else it must be empty"},
    {"shards", "N", OPTION_NUMBER, FIELD(shards), 1, CONFIG_SHARDS_MAX, 0, 1, "the number of shards of DIR2, 1 to 64"},
};

static const struct option import_options[] = {
    {"from", "FILE", OPTION_FILE, TEXT_FIELD(from_file), "what `chitchat dump` wrote; - is stdin"},
    DATA_OPTION("the new data directory; created if it does not exist, else it must be\nempty (default ./data)"),
    {"shards", "N", OPTION_NUMBER, FIELD(shards), 1, CONFIG_SHARDS_MAX, 0, 1,
     "its number of shards, 1 to 64 (default: one for each core)"},
};

static const struct option token_options[] = {
    {"secret-file", "F", OPTION_FILE, TEXT_FIELD(secret_file), "sign with the first secret of F (HS256)"},
    {"key-file", "F", OPTION_FILE, TEXT_FIELD(key_file),
     "sign with the private key in F, in PEM: Ed25519 (EdDSA), P-256 (ES256)\nor RSA (RS256)"},
    {"user", "U", OPTION_USER, TEXT_FIELD(user), "whose token it is"},
    {"for", "TIME", OPTION_DURATION, FIELD(for_s), 1, 100 * 366 * UINT64_C(86400), 3600, 1,
     "until it expires: 90s, 15m, 12h, 30d (default 1h)"},
    {"claim", "NAME", OPTION_TEXT, TEXT_FIELD(token_claim),
     "the claim that names the user; sub does too (default sub)"},
    {"audience", "A", OPTION_TEXT, TEXT_FIELD(token_audience), "its aud (default: none)"},
    {"issuer", "I", OPTION_TEXT, TEXT_FIELD(token_issuer), "its iss (default: none)"},
    {"kid", "ID", OPTION_TEXT, TEXT_FIELD(kid), "the kid of the key, as in a JWKS (default: none)"},
    {"new-secret", "F", OPTION_FILE, TEXT_FIELD(new_secret), "make F, with a new secret in it, and no token"},
};

static const struct option status_options[] = {
    {"admin", "URL", OPTION_TEXT, TEXT_FIELD(admin_url),
     "the server's address of --admin: http://HOST:PORT, or https:// with\n--admin-tls (default "
     "http://127.0.0.1:8081)"},
    {"json", "", OPTION_FLAG, FIELD(wants_json), 0, 1, 0, 1, "write JSON in place of a page"},
    {"token-file", "F", OPTION_FILE, TEXT_FIELD(token_file),
     "a file with the server's admin token: that of --admin-token-file"},
    {"ca-file", "F", OPTION_FILE, TEXT_FIELD(ca_file),
     "with https://: certificates that may have signed the server's, PEM\n(default: those of the system)"},
};

#define TALK_OPTIONS                                                                                                   \
    {"token-file", "F", OPTION_FILE, TEXT_FIELD(token_file),                                                           \
     "a file whose first line is the token of the login; read again when the\ntoken expires"},                         \
    {                                                                                                                  \
        "tls-ca", "F", OPTION_FILE, TEXT_FIELD(ca_file),                                                               \
            "with wss://: certificates that may have signed the server's, PEM\n(default: those of the system)"         \
    }

static const struct option chat_options[] = {
    {"", "URL", OPTION_ANY, TEXT_FIELD(url),
     "the server: ws://HOST[:PORT], or wss:// for TLS; without a path it is /ws\n(default ws://127.0.0.1:8080/ws)"},
    {"user", "U", OPTION_USER, TEXT_FIELD(user), "who logs in (default: the user of the token)"},
    {"to", "U", OPTION_USER, TEXT_FIELD(to_user), "the conversation to begin with; in a pipe, who gets the lines"},
    TALK_OPTIONS,
    {"json", "", OPTION_FLAG, FIELD(wants_json), 0, 1, 0, 1, "in a pipe: write a JSON object a line"},
    {"follow", "", OPTION_FLAG, FIELD(follows), 0, 1, 0, 1, "in a pipe: receive on after the end of stdin"},
    {"timeout", "TIME", OPTION_DURATION, FIELD(timeout_s), 1, 86400, 30, 1,
     "in a pipe: how long unsent lines may take after the end of stdin\n(default 30s)"},
};

static const struct option send_options[] = {
    {"", "TEXT", OPTION_ANY, TEXT_FIELD(message), "the message (default: all of stdin, without its last line end)"},
    {"user", "U", OPTION_USER, TEXT_FIELD(user), "who sends it (default: the user of the token)"},
    {"to", "U", OPTION_USER, TEXT_FIELD(to_user), "who gets it"},
    {"url", "URL", OPTION_ANY, TEXT_FIELD(url),
     "the server: ws://HOST[:PORT], or wss:// for TLS; without a path it is /ws\n(default ws://127.0.0.1:8080/ws)"},
    TALK_OPTIONS,
    {"key", "K", OPTION_ANY, TEXT_FIELD(key),
     "the message's key, 1 to 64 bytes: sent again with the same key within 24\nhours, it is stored once (default: a "
     "random one)"},
    {"timeout", "TIME", OPTION_DURATION, FIELD(timeout_s), 1, 86400, 30, 1, "how long it may take (default 30s)"},
    {"json", "", OPTION_FLAG, FIELD(wants_json), 0, 1, 0, 1, "write ts, mid and key as a JSON object"},
};

static const struct option history_options[] = {
    {"", "URL", OPTION_ANY, TEXT_FIELD(url),
     "the server: ws://HOST[:PORT], or wss:// for TLS; without a path it is /ws\n(default ws://127.0.0.1:8080/ws)"},
    {"user", "U", OPTION_USER, TEXT_FIELD(user), "whose history (default: that of the token's user)"},
    {"with", "U", OPTION_USER, TEXT_FIELD(with_user), "only messages exchanged with U"},
    {"since", "TIME", OPTION_ANY, TEXT_FIELD(since),
     "only messages from this time on: 36h or 7d ago; 2026-11-29 or\n2026-11-29T18:30[:00], local time, or UTC with a "
     "Z; or a ts"},
    {"limit", "N", OPTION_NUMBER, FIELD(limit), 1, 100000000, 0, 1,
     "the newest N of them (default 50; with --since: all)"},
    TALK_OPTIONS,
    {"timeout", "TIME", OPTION_DURATION, FIELD(timeout_s), 1, 86400, 30, 1, "how long a page may take (default 30s)"},
    {"json", "", OPTION_FLAG, FIELD(wants_json), 0, 1, 0, 1, "write a JSON object a line"},
};

static const struct option cluster_options[] = {
    {"", "init|join|leave|status", OPTION_ANY, TEXT_FIELD(cluster_verb),
     "init: make the logs of a cluster, or bring them to this version; join: make a\n"
     "node known before its first start; leave: remove one; status: show which node\n"
     "owns the slots, and the others"},
    {"log", "URI", OPTION_ANY, TEXT_FIELD(log_uris),
     "the log server: postgresql://USER@HOST:PORT,HOST:PORT/DATABASE, with the\n"
     "primary and all standbys; of several log servers: their URIs with spaces\n"
     "between them, always in the same order; slots lie on them in turn"},
    {"name", "NAME", OPTION_TEXT, TEXT_FIELD(cluster_name),
     "of the cluster: a to z, 0 to 9 and _, first a letter (default chitchat)"},
    {"slots", "N", OPTION_NUMBER, FIELD(slots), 1, CONFIG_SHARDS_MAX, 0, 1,
     "with init: users are divided among so many slots, which never changes: one\n"
     "for each core that a node has, 1 to 64"},
    {"from", "DIR", OPTION_DIR, TEXT_FIELD(from_dir),
     "with init: the cluster begins with the content of this data directory, on which\n"
     "no server runs; it has as many slots as DIR has shards"},
    {"node", "NAME", OPTION_TEXT, TEXT_FIELD(node), "with join and leave: the node"},
    {"advertise", "URL", OPTION_TEXT, TEXT_FIELD(advertise),
     "with join: where clients reach the node: wss://chat-1.example.org"},
    {"log-durability", "HOW", OPTION_LOG_DURABILITY, NO_FIELD,
     "standby: what is acknowledged is on the disks of two machines; single: of\n"
     "one, and lost with it (default standby)"},
    {"json", "", OPTION_FLAG, FIELD(wants_json), 0, 1, 0, 1, "status: write a JSON object"},
};

#define OPTIONS(table) (table), sizeof(table) / sizeof((table)[0])

const struct command config_commands[] = {
    {"serve", "[options]", "serve until SIGTERM or SIGINT", CONFIG_SERVE, OPTIONS(serve_options), NULL, NULL},
    {"verify", "[--data DIR]", "check a data directory or a backup; changes nothing", CONFIG_VERIFY,
     OPTIONS(verify_options), NULL,
     "Checks the WALs, the runs, the manifests, and that both timelines of each message have the same copy of it. No\n"
     "server may run on DIR. Changes nothing. Exits with 0 if all is sound, else with 1 and a line for each "
     "problem.\n"},
    {"dump", "[--data DIR] [--user U]", "write all messages as JSON lines", CONFIG_DUMP, OPTIONS(dump_options), NULL,
     "Writes each entry of each timeline as a line of JSON to stdout, by user and then by ts, and where timelines\n"
     "begin, if some of their entries are erased or grew too old. No server may run on DIR: make a backup of a\n"
     "running server, and dump that.\n"},
    {"compact", "[--data DIR]", "rewrite the runs without what is erased", CONFIG_COMPACT, OPTIONS(compact_options),
     NULL,
     "Rewrites all runs without messages that were erased, or are older than --retention as it was in force last. A\n"
     "running server does so by itself, in the time of --erase-within. The keys of erased sends go too, so a client\n"
     "that still repeats one stores it again. Files of the WAL that are not in use are removed: they may have such\n"
     "messages, too. Stop the server first, by SIGTERM. Needs room for the largest run.\n"},
    {"backup", "[--data DIR] --to DIR2 [--keep N]", "copy the data, also of a running server", CONFIG_BACKUP,
     OPTIONS(backup_options), "to",
     "Copies all messages that are durable when the backup begins, while the server continues. Each backup is a\n"
     "directory in DIR2, complete in itself. Files that never change again are not copied twice: they are linked to\n"
     "the backup before, or to DIR if DIR2 is on the same file system. Check the newest backup with\n"
     "`chitchat verify --data DIR2`.\n"},
    {"restore", "--from DIR2 [--data DIR]", "make a data directory from a backup", CONFIG_RESTORE,
     OPTIONS(restore_options), "from",
     "Makes DIR from a backup, under a new epoch: the server then has clients that saw later messages begin anew.\n"},
    {"reshard", "--from DIR --to DIR2 --shards N", "change the number of shards", CONFIG_RESHARD,
     OPTIONS(reshard_options), "from",
     "Makes DIR2 with the messages of DIR and another number of shards. No server may run on DIR, which is not "
     "changed.\n"
     "Everything keeps its ts, mid and key, so clients go on with their cursors. Progress goes to stderr.\n"},
    {"import", "--from FILE [--data DIR] [--shards N]", "make a data directory of a dump", CONFIG_IMPORT,
     OPTIONS(import_options), "from",
     "Makes DIR from the lines of `chitchat dump`, in their order, under a new epoch. What was erased or had grown "
     "too\n"
     "old stays so. A line that is wrong ends the import with its number, and nothing is made. Progress goes to "
     "stderr.\n"},
    {"token", "--secret-file F --user U", "print a token, or make a secret", CONFIG_TOKEN, OPTIONS(token_options), NULL,
     "Prints a token for a login to a server with --auth token: signed with a secret (--secret-file F, for\n"
     "`chitchat serve --token-secrets F`) or a private key (--key-file F, for --token-keys with its public key).\n"
     "`chitchat token --new-secret F` makes a file with a secret of 32 random bytes that its owner alone may read;\n"
     "F must not exist.\n"},
    {"status", "[--admin URL] [--json]", "show what a running server does", CONFIG_STATUS, OPTIONS(status_options),
     NULL,
     "Reads /metrics of a server that was started with --admin, twice within a second, and shows connections, sends,\n"
     "delays, disk and memory, in all and by shard. Delays are bounds that half and 99 % of the requests did not\n"
     "exceed. Exits with 1, and a line that says why, if the server cannot be reached or refuses.\n"},
    {"chat", "--user U [--to U] [URL]", "chat in a terminal, or in a pipe", CONFIG_CHAT, OPTIONS(chat_options), NULL,
     "In a terminal: write and read messages; /help there lists the commands. In a pipe: each line of stdin goes to "
     "the\n"
     "user of --to, and what is received goes to stdout, a line each; ends when stdin ends and all is stored. In "
     "both,\n"
     "a lost connection comes back by itself and nothing is lost or doubled. Exits with 0; 1: a line was refused for\n"
     "good; 2: wrong options; 3: the server refuses the login; 4: lines were not stored in time.\n"},
    {"send", "--user U --to U [TEXT]", "send one message", CONFIG_SEND, OPTIONS(send_options), NULL,
     "Sends a message and waits until it is stored; tries again for the time of --timeout. Exits with 0: it is "
     "stored;\n"
     "1: it was refused for good; 2: wrong options; 3: the server refuses the login; 4: not done in time, and it may "
     "be\n"
     "stored or not: run it again with the same --key.\n"},
    {"history", "--user U [--with U] [URL]", "print messages", CONFIG_HISTORY, OPTIONS(history_options), NULL,
     "Prints messages of a user's timeline, oldest first. Control characters in texts are shown, not sent to the\n"
     "terminal. Exits with 0; 1: the server refuses a page; 2: wrong options; 3: it refuses the login; 4: too slow.\n"},
    {"cluster", "init|join|leave|status --log URI", "make the logs of a cluster, or show them", CONFIG_CLUSTER,
     OPTIONS(cluster_options), "log",
     "`chitchat cluster init` makes the tables of a cluster in a PostgreSQL database, in a schema of their own, or "
     "brings\n"
     "those that are there to this version. It refuses a server whose settings do not keep what --log-durability asks\n"
     "for; it needs --slots, or --from. `chitchat cluster join --node NAME` checks what a node needs, makes it known, "
     "so that "
     "the\n"
     "log keeps what it will read, and prints how to start it; `leave` removes one that has ended. `chitchat cluster\n"
     "status` shows the owner, the newest batch of each slot, and how far behind each node is. Give the password in\n"
     "~/.pgpass or PGPASSFILE. Exits with 0; 1: it failed; 2: wrong options, or the engine is\n"
     "not installed.\n"},
};
const size_t config_command_count = sizeof config_commands / sizeof config_commands[0];

_Static_assert(sizeof serve_options / sizeof serve_options[0] <= CONFIG_OPTIONS_MAX, "the parser has room for all");
