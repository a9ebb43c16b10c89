#include "server/serve.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "auth/admin_tokens.h"
#include "base/log.h"
#include "cli/config_value.h"
#include "connection/tls_context.h"
#include "durability/recovery.h"
#include "protocol/http.h"
#include "protocol/mid.h"
#include "protocol/web_files.h"
#include "server/budget.h"
#include "server/core.h"
#include "server/core_handlers.h"
#include "server/core_open.h"
#include "server/listen.h"
#include "server/log_file.h"
#include "server/process_sample.h"
#include "server/rlimits.h"
#include "server/service_notify.h"
#include "server/signals.h"
#include "server/starting.h"
#include "server/token_watch.h"
#include "storage/datadir/datadir_make.h"
#include "storage/offline/manifests.h"
#include "storage/page_guard.h"

#define TEXT_BYTES 1024u
#define DEPOSED_DRAIN_S 2u
#define DEPOSED_STOP_US                                                                                                \
    UINT64_C(2000000) /* for the shards: they wait for a log that may not answer, and keep nothing */
#define COMPLAIN_WAIT_MS 1000
#define SERVE_AGAIN (-1) /* instead of an exit code: the process begins anew */

/* A start that is refused ends, though nobody reads stderr. Returns the exit code. */
static int complain(const char *text)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, COMPLAIN_WAIT_MS) > 0)
        fprintf(stderr, "chitchat: %s\n", text);
    log_file_note_failure(text);
    return 1;
}

/* The user may have misspelt a name and believe that the option is set. Values are not logged: some are secrets. */
static void warn_of_unknown(const struct config *config)
{
    for (uint32_t i = 0; i < config->unknown_count; i++)
        log_line(LOG_WARN, "unknown_environment", "name=%.*s hint=\"no option has this name: see chitchat --help\"",
                 (int)strcspn(config->unknown[i], "= \"\n"), config->unknown[i]);
}

/* Nothing of what the process had in memory may be left, so it is executed anew: it keeps its number, its arguments and
 * the service manager that watches it. */
static _Noreturn void begin_again(char **argv, const struct cluster_metrics *metrics)
{
    cluster_metrics_carry(metrics);
    log_flush(CORE_LOG_FLUSH_US);
    execv("/proc/self/exe", argv);
    (void)complain("the program cannot be executed again: start it");
    _exit(1);
}

static int open_cores(struct server *server, void **contexts)
{
    for (uint32_t i = 0; i < server->core_count; i++) {
        int status = core_open(&server->cores[i], server, i);
        if (status != 0)
            return status;
        contexts[i] = server->cores[i];
    }
    return 0;
}

/* Whether an address is not loopback; with `is_plain` one without TLS. */
static bool is_beyond_loopback(const struct config *config, bool is_plain)
{
    for (uint32_t i = 0; i < config->listen_count; i++)
        if (!config_value_is_loopback(&config->listens[i]) && !(is_plain && config->listens[i].is_tls))
            return true;
    return false;
}

static void warn_of_openness(const struct config *config)
{
    for (uint32_t i = 0; i < config->network_count; i++)
        if (network_is_everything(&config->networks[i]))
            log_line(LOG_WARN, "everybody_is_a_proxy",
                     "hint=\"--trust-proxy trusts all addresses: every client may claim any address, and no limit of "
                     "addresses holds; name the networks of the proxies only\"");
    if (config->auth == CONFIG_AUTH_NONE && is_beyond_loopback(config, false))
        log_line(LOG_WARN, "anyone_may_log_in",
                 "hint=\"--allow-anyone: whoever reaches the server can read and write the messages of all users; use "
                 "--auth token\"");
    if (config->auth == CONFIG_AUTH_TOKEN && is_beyond_loopback(config, true))
        log_line(LOG_WARN, "tokens_in_clear",
                 "hint=\"tokens and messages cross the network unencrypted: use --listen-tls, or a proxy that ends TLS "
                 "on the same machine\"");
}

/* The page to open in a browser on this machine. */
static void write_url(const struct config *config, char *out, size_t bytes)
{
    const char *text = config->listens[0].text;
    bool is_any = strncmp(text, "0.0.0.0:", 8) == 0 || strncmp(text, "[::]:", 5) == 0;
    (void)snprintf(out, bytes, "%s://%s%s/", config->listens[0].is_tls ? "https" : "http", is_any ? "localhost" : text,
                   is_any ? strrchr(text, ':') : "");
}

#define LISTENS_TEXT_BYTES (16 + CONFIG_LISTENS_MAX * (sizeof((struct config_listen *)0)->text + 1))

/* "NAME=ADDRESS,ADDRESS " with the addresses of one kind; "" if there are none. */
static void write_listens(const struct config_listen *listens, uint32_t count, bool is_tls, const char *name,
                          char out[LISTENS_TEXT_BYTES])
{
    out[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        if (listens[i].is_tls != is_tls)
            continue;
        strcat(out, out[0] == '\0' ? name : ",");
        strcat(out, listens[i].text);
    }
    if (out[0] != '\0')
        strcat(out, " ");
}

static void log_ready(const struct server *server, const struct recovery_report *report)
{
    const struct config *config = server->config;
    char url[128];
    write_url(config, url, sizeof url);
    char plain[LISTENS_TEXT_BYTES];
    char tls[LISTENS_TEXT_BYTES];
    char admin[LISTENS_TEXT_BYTES];
    char admin_tls[LISTENS_TEXT_BYTES];
    write_listens(config->listens, config->listen_count, false, "listen=", plain);
    write_listens(config->listens, config->listen_count, true, "listen_tls=", tls);
    write_listens(config->admins, config->admin_count, false, "admin=", admin);
    write_listens(config->admins, config->admin_count, true, "admin_tls=", admin_tls);
    log_line(LOG_INFO, "ready",
             "%s%s%s%sopen=%s auth=%s shards=%u data=\"%s\" connections=%u memory=%" PRIu64 "M replayed=%" PRIu64 "%s",
             plain, tls, admin, admin_tls, url, config->auth == CONFIG_AUTH_TOKEN ? "token" : "none",
             server->core_count, config->data_dir, config->connections, budget_total(config, server->core_count) >> 20,
             report->records,
             config->auth == CONFIG_AUTH_TOKEN
                 ? ""
                 : " note=\"not protected: whoever reaches the address can log in as any user; see --auth token\"");
    warn_of_openness(config);
    if (server->token_keys != NULL)
        token_watch_log_keys(server->token_keys);
}

/* Bytes that each shard wrote, and its runs. */
static void log_written(const struct server *server)
{
    for (uint32_t i = 0; i < server->core_count; i++) {
        struct store_info info;
        store_info(server->cores[i]->runs.store, &info);
        log_line(LOG_INFO, "written",
                 "shard=%u wal_bytes=%" PRIu64 " checkpoint_bytes=%" PRIu64 " merge_bytes=%" PRIu64
                 " runs=%u runs_most=%u",
                 i, metric_read(&server->cores[i]->metrics.wal_bytes), info.run_bytes, info.merge_bytes, info.run_count,
                 info.run_count_most);
    }
}

/* Until the time of the drain is over, nobody is connected any more, or SIGTERM or SIGINT comes again. */
static void wait_for_drain(const struct server *server, const sigset_t *signals, uint64_t drain_us)
{
    const struct timespec look = {.tv_nsec = 10000000};
    uint64_t end_us = clock_monotonic_us(server->clock) + drain_us;
    int number = 0;
    while (!signals_is_stop(number) && clock_monotonic_us(server->clock) < end_us
           && atomic_load_explicit(&server->conn_count, memory_order_relaxed) > 0) {
        number = sigtimedwait(signals, NULL, &look);
        if (number > 0 && number != SIGHUP && !signals_is_stop(number))
            signals_note(number);
    }
    log_line(LOG_INFO, "drained", "connections=%u ended_by=%s",
             atomic_load_explicit(&server->conn_count, memory_order_relaxed),
             number == SIGINT    ? "SIGINT"
             : number == SIGTERM ? "SIGTERM"
                                 : "itself");
}

/* Waits for a signal, then stops the shards. True if all ended within nine tenths of the stop time; those of a node
 * that was deposed have DEPOSED_STOP_US. */
static bool run_until_signal(struct server *server, struct shard_group *group, const sigset_t *signals)
{
    int number = reload_until_signal(&server->reloads, signals);
    bool is_deposed = atomic_load_explicit(&server->is_deposed, memory_order_relaxed);
    if (is_deposed)
        service_notify_deposed();
    else
        service_notify_stopping(server->config->drain_s + server->config->stop_time_s);
    atomic_store_explicit(&server->is_draining, true, memory_order_relaxed);
    metric_set(&server->metrics.draining, 1);
    uint32_t connections = atomic_load_explicit(&server->conn_count, memory_order_relaxed);
    uint64_t drain_us = drain_time_us(is_deposed ? DEPOSED_DRAIN_S : server->config->drain_s, connections);
    log_line(LOG_INFO, "stopping", "%s=%s connections=%u drain_ms=%" PRIu64, is_deposed ? "reason" : "signal",
             is_deposed         ? "deposed"
             : number == SIGINT ? "SIGINT"
                                : "SIGTERM",
             connections, drain_us / 1000);
    if (drain_us > 0) {
        atomic_store_explicit(&server->drain_us, drain_us, memory_order_relaxed);
        shard_group_signal(group, SIGNAL_DRAIN);
        wait_for_drain(server, signals, drain_us);
    }
    shard_group_signal(group, SIGNAL_STOP);
    return shard_group_join(group, is_deposed ? DEPOSED_STOP_US : (uint64_t)server->config->stop_time_s * 900000);
}

/* A shard has not ended within the stop time. */
static void log_unclean(const struct server *server)
{
    if (atomic_load(&server->is_deposed))
        log_line(LOG_INFO, "stopped", "clean=false hint=\"what this node had not acknowledged is void\"");
    else if (server->cluster != NULL)
        log_line(
            LOG_WARN, "stopped",
            "clean=false hint=\"the log did not answer within the stop time, or the last checkpoint did not end; all "
            "acknowledged messages are in the log\"");
    else
        log_line(LOG_WARN, "stopped",
                 "clean=false hint=\"the last checkpoint did not end within the stop time; all messages are in the "
                 "WAL\"");
}

/* NULL: there is no admin address, or no thread for it; then its clients wait. */
static struct starting *open_starting(const struct server *server)
{
    const struct config *config = server->config;
    bool with_tls[CONFIG_ADMINS_MAX];
    struct starting *starting = NULL;
    for (uint32_t i = 0; i < config->admin_count; i++)
        with_tls[i] = config->admins[i].is_tls;
    if (config->admin_count > 0)
        (void)starting_open(&starting, server->admin_fds, server->core_count * config->admin_count, with_tls,
                            config->admin_count, server->tls_context);
    return starting;
}

/* The same of the addresses for clients, in a cluster: this node may be a standby for days. */
static struct starting *open_standby(const struct server *server)
{
    const struct config *config = server->config;
    bool with_tls[CONFIG_LISTENS_MAX];
    struct starting *starting = NULL;
    for (uint32_t i = 0; i < config->listen_count; i++)
        with_tls[i] = config->listens[i].is_tls;
    if (server->cluster != NULL)
        (void)starting_open(&starting, server->listen_fds, server->core_count * config->listen_count, with_tls,
                            config->listen_count, server->tls_context);
    return starting;
}

/* The number of shards is fixed by now. */
static int complain_of_shards(int status)
{
    char text[TEXT_BYTES];
    char advice[IO_ADVICE_BYTES];
    io_advise(status, advice, sizeof advice);
    (void)snprintf(text, sizeof text,
                   "the shards cannot start: %s: raise the limits of the system, or make fewer shards (chitchat "
                   "reshard)%s",
                   strerror(-status), advice);
    return complain(text);
}

static int serve_cores(struct server *server, void **contexts, const sigset_t *signals)
{
    struct recovery_report report;
    struct recovery_error error;
    struct shard_group *group;
    struct shard_options options = {.shard_count = server->core_count,
                                    .pin = true,
                                    .clock = server->clock,
                                    .io = {.recv_buffer_bytes = 4096, .recv_buffer_count = 1024}};
    server->starting_admin = open_starting(server);
    server->starting = open_standby(server);
    if (server->config->admin_count > 0)
        process_sample_start(server);
    int recovered = recovery_run(server, &report, &error);
    starting_close(&server->starting_admin);
    starting_close(&server->starting);
    if (recovered == -ERESTART)
        return SERVE_AGAIN;
    if (recovered == -EINTR && server->cluster != NULL) {
        log_line(LOG_INFO, "stopped", "clean=true");
        return 0;
    }
    if (recovered != 0)
        return complain(error.text);
    int status = shard_group_open(&group, &options, core_handlers(), contexts);
    if (status == 0) {
        for (uint32_t i = 0; i < server->core_count; i++)
            server->cores[i]->shard = shard_group_shard(group, i);
        health_on_recovered(server);
        status = shard_group_start(group);
    }
    if (status != 0)
        return complain_of_shards(status);
    /* Only now: a start that is refused leaves one line on stderr. */
    warn_of_unknown(server->config);
    rlimits_warn(server->config, server->core_count);
    memory_fit_warn(&server->memory_fit, server->config);
    log_ready(server, &report);
    service_notify_ready(server);
    if (!run_until_signal(server, group, signals)) {
        log_unclean(server);
        log_flush(CORE_LOG_FLUSH_US);
        if (atomic_load(&server->is_deposed))
            begin_again(server->argv, &server->cluster_metrics);
        _exit(0);
    }
    shard_group_close(&group);
    if (atomic_load(&server->is_deposed))
        return SERVE_AGAIN;
    log_written(server);
    log_line(LOG_INFO, "stopped", "clean=true");
    return 0;
}

static int serve_listening(struct server *server, struct config *config, const sigset_t *signals)
{
    char text[TEXT_BYTES];
    uint32_t fd_count = server->core_count * config->listen_count;
    uint32_t admin_count = server->core_count * config->admin_count;
    void **contexts = calloc(server->core_count, sizeof *contexts);
    server->cores = calloc(server->core_count, sizeof *server->cores);
    server->listen_fds = calloc(fd_count, sizeof *server->listen_fds);
    server->admin_fds = calloc(admin_count + 1, sizeof *server->admin_fds);
    int code = 1;
    if (contexts == NULL || server->cores == NULL || server->listen_fds == NULL || server->admin_fds == NULL
        || open_cores(server, contexts) != 0)
        complain("no memory: lower --shards");
    else if (listen_open(config->listens, config->listen_count, server->core_count, server->listen_fds, text,
                         sizeof text)
             != 0)
        complain(text);
    else {
        if (listen_open(config->admins, config->admin_count, server->core_count, server->admin_fds, text, sizeof text)
            != 0)
            complain(text);
        else
            code = serve_cores(server, contexts, signals);
        listen_close(server->admin_fds, admin_count);
        listen_close(server->listen_fds, fd_count);
    }
    for (uint32_t i = 0; server->cores != NULL && i < server->core_count; i++)
        core_close(&server->cores[i]);
    free(server->listen_fds);
    free(server->admin_fds);
    free(server->cores);
    free(contexts);
    return code;
}

/* Opens the table of addresses, after rlimits_fit_connections, which may lower --connections. */
static int serve_counted(struct server *server, struct config *config, const sigset_t *signals)
{
    struct hash_key seed;
    struct address_limits limits = {.connections = config->address_connections,
                                    .rate = config->address_rate,
                                    .login_rate = config->address_login_rate,
                                    .has_loopback = config->limit_loopback != 0};
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return complain("getrandom gave no random numbers: check the system's random number generator");
    if (addresses_open(&server->addresses, &limits, config->connections, seed) != 0)
        return complain("no memory: lower --connections");
    int code = serve_listening(server, config, signals);
    addresses_close(&server->addresses);
    return code;
}

/* The example of RFC 6455, 1.3. The call also makes libcrypto load its parts before the first connection. */
static bool is_handshake_right(void)
{
    char accept[29];
    http_accept_value(span_of("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    return strcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0;
}

static bool fits_connections(struct config *config, uint32_t shards)
{
    char text[TEXT_BYTES];
    if (rlimits_fit_connections(config, shards, text, sizeof text))
        return true;
    complain(text);
    return false;
}

/* After rlimits_fit_connections, which may lower --connections. */
static bool fits_memory(struct server *server, struct config *config)
{
    char text[TEXT_BYTES];
    cgroup_memory_limit(CGROUP_PROC, CGROUP_ROOT, &server->memory_fit.limit);
    if (memory_fit_apply(&server->memory_fit, config, server->core_count, text, sizeof text))
        return true;
    complain(text);
    return false;
}

/* SIGHUP. A renewed certificate comes with a new key, in two files: so a changed file alone is no reason. */
static void reload_tls(void *context, enum reload_cause cause)
{
    struct server *server = context;
    char text[TEXT_BYTES];
    if (cause != RELOAD_ASKED)
        return;
    int status = tls_context_reload(server->tls_context, text, sizeof text);
    metric_set(&server->metrics.reload_failed[METRICS_RELOAD_TLS], status != 0);
    if (status == 0) {
        log_line(LOG_INFO, "tls_reloaded", "hint=\"new connections get this certificate\"");
        return;
    }
    log_quotable(text);
    log_line(LOG_ERROR, "tls_kept", "error=\"%s\" hint=\"the old certificate stays in use\"", text);
}

static void reload_admin_tokens(void *context, enum reload_cause cause)
{
    struct token_error error;
    if (cause != RELOAD_ASKED)
        return;
    if (admin_tokens_reload(context, &error)) {
        log_line(LOG_INFO, "admin_tokens_reloaded", "hint=\"requests need one of the tokens that the file has now\"");
        return;
    }
    log_quotable(error.text);
    log_line(LOG_ERROR, "admin_tokens_kept", "reason=\"%s\" hint=\"the tokens that were read before still count\"",
             error.text);
}

static bool open_admin_tokens(struct server *server)
{
    struct token_error error;
    if (server->config->admin_token_file == NULL)
        return true;
    if (!admin_tokens_open(&server->admin_tokens, server->config->admin_token_file, &error)) {
        complain(error.text);
        return false;
    }
    reload_add(&server->reloads, reload_admin_tokens, server->admin_tokens);
    return true;
}

static bool open_tls(struct server *server)
{
    char text[TEXT_BYTES];
    const struct config *config = server->config;
    if (config->tls_cert == NULL)
        return true;
    if (tls_context_open(&server->tls_context, config->tls_cert, config->tls_key, server->clock, text, sizeof text)
        != 0) {
        complain(text);
        return false;
    }
    reload_add(&server->reloads, reload_tls, server);
    return true;
}

/* What the cluster is, by the data directory of a node that was deposed. The process that ran on it had asked the log,
 * which need not answer now: the standby waits for it, and compares (recovery_standby.h). */
static int read_meta(struct cluster *cluster, const struct config *config, struct datadir_error *error)
{
    struct datadir *datadir;
    int status = datadir_open_read(&datadir, config->data_dir, false, error);
    if (status != 0)
        return status;
    cluster->meta = *datadir_meta(datadir);
    (void)snprintf(cluster->meta.cluster, sizeof cluster->meta.cluster, "%s", config->cluster_name);
    datadir_close(&datadir);
    return 0;
}

static int open_cluster(struct server *server, struct cluster *cluster, char text[TEXT_BYTES])
{
    server->was_deposed = cluster_metrics_take(&server->cluster_metrics);
    server->cluster = cluster;
    return server->was_deposed ? cluster_load(cluster, server->config, text, TEXT_BYTES)
                               : cluster_open(cluster, server->config, server->clock, text, TEXT_BYTES);
}

/* With --cluster the log says what the data directory is. */
static bool open_data(struct server *server, struct cluster *cluster, struct datadir **datadir_r, char text[TEXT_BYTES])
{
    const struct config *config = server->config;
    struct datadir_error error;
    int status;
    if (config->log_uris == NULL) {
        status = datadir_open(datadir_r, config->data_dir, config->shards, config_value_cores(), &error);
    } else {
        if (open_cluster(server, cluster, text) != 0)
            return false;
        status = server->was_deposed ? read_meta(cluster, config, &error) : 0;
        if (status == 0)
            status = datadir_open_cluster(datadir_r, config->data_dir, &cluster->meta, &error);
    }
    if (status == 0 && (status = manifests_check(*datadir_r, &error)) != 0)
        datadir_close(datadir_r);
    if (status != 0)
        (void)snprintf(text, TEXT_BYTES, "%s", error.text);
    return status == 0;
}

int serve(struct config *config, char **argv)
{
    char text[TEXT_BYTES];
    sigset_t signals;
    struct clock clock;
    struct token_watch watch;
    struct token_error token_error;
    struct datadir *datadir;
    struct cluster cluster;
    clock_init_system(&clock);
    signals_block(&signals);
    struct server server = {.config = config, .clock = &clock, .argv = argv};
    server.web_files = web_files(&server.web_file_count);
    if (!log_file_open(config, &server.reloads, text, sizeof text))
        return complain(text);
    if (!is_handshake_right())
        return complain(
            "libcrypto computes a wrong SHA-1: repair its installation, or allow SHA-1 in its configuration");
    if (io_check_kernel(text, sizeof text) != 0)
        return complain(text);
    if (listen_probe(config->listens, config->listen_count, text, sizeof text) != 0
        || listen_probe(config->admins, config->admin_count, text, sizeof text) != 0)
        return complain(text);
    if (!token_watch_open(&watch, &server, &token_error))
        return complain(token_error.text);
    if (!open_data(&server, &cluster, &datadir, text)) {
        token_watch_close(&watch);
        return complain(text);
    }
    server.datadir = datadir;
    server.core_count = datadir_shards(datadir);
    uint64_t drawn;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return complain("getrandom gave no random numbers: check the system's random number generator");
    server.start_random = drawn & MID_RANDOM_MAX;
    if (page_guard_install() != 0)
        return complain("cannot set a handler for SIGBUS: check the limits of the system (seccomp)");
    if (log_start() != 0)
        return complain("cannot start the thread of the log: raise the limit of processes");
    int code = fits_connections(config, server.core_count) && open_tls(&server) && open_admin_tokens(&server)
                       && fits_memory(&server, config)
                   ? serve_counted(&server, config, &signals)
                   : 1;
    tls_context_close(&server.tls_context);
    admin_tokens_close(&server.admin_tokens);
    datadir_close(&datadir);
    token_watch_close(&watch);
    log_stop(CORE_LOG_FLUSH_US);
    if (code == SERVE_AGAIN)
        begin_again(argv, &server.cluster_metrics);
    return code;
}
