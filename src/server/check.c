#include "server/check.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/admin_tokens.h"
#include "base/log.h"
#include "cli/config_value.h"
#include "connection/tls_context.h"
#include "server/cluster.h"
#include "server/core.h"
#include "server/listen.h"
#include "server/rlimits.h"
#include "server/token_watch.h"
#include "storage/offline/manifests.h"
#include "storage/offline/offline.h"
#include "storage/page_guard.h"

#define EXIT_WRONG 2

struct check {
    struct config *config;
    struct datadir_check data;
    uint32_t slots;  /* of the cluster; 0: none */
    char text[1024]; /* the error */
};

static bool is_data_good(struct check *check)
{
    struct datadir_error error;
    if (datadir_check(check->config->data_dir, check->config->shards, &check->data, &error) != 0) {
        (void)snprintf(check->text, sizeof check->text, "%s", error.text);
        return false;
    }
    const char *cluster = check->config->log_uris != NULL ? check->config->cluster_name : "";
    if (check->data.shards == 0 || strcmp(check->data.cluster, cluster) == 0)
        return true;
    (void)snprintf(check->text, sizeof check->text,
                   "%.200s is of %s%s: give the data directory and the --cluster that belong together, or neither "
                   "--cluster nor a directory of one",
                   check->config->data_dir, check->data.cluster[0] != '\0' ? "a node of the cluster " : "no cluster",
                   check->data.cluster);
    return false;
}

static void keep_first(void *context, const char *text)
{
    struct check *check = context;
    if (check->text[0] == '\0')
        (void)snprintf(check->text, sizeof check->text, "%.1000s", text);
}

/* The manifests, the runs that they name, and the WAL. What a server runs on, it has read. A node of a cluster has its
 * newest messages in the log of the cluster, and no WAL. */
static bool are_files_good(struct check *check)
{
    struct datadir *datadir;
    struct datadir_error error = {""};
    struct offline *offline = NULL;
    struct problems problems = {.report = keep_first, .context = check};
    if (check->data.shards == 0 || check->data.is_live)
        return true;
    if (page_guard_install() != 0) {
        keep_first(check, "cannot set a handler for SIGBUS: check the limits of the system (seccomp)");
        return false;
    }
    int status = datadir_open_read(&datadir, check->config->data_dir, true, &error);
    if (status == 0) {
        status = manifests_check(datadir, &error);
        bool has_wal = !datadir_is_live(datadir) && datadir_cluster(datadir)[0] == '\0';
        if (status == 0 && has_wal && (status = offline_open(&offline, datadir, &problems)) != 0)
            (void)snprintf(error.text, sizeof error.text, "%s", strerror(-status));
        offline_close(&offline);
        datadir_close(&datadir);
    }
    if (status != 0)
        keep_first(check, error.text);
    return status == 0 && problems.count == 0;
}

/* The log servers answer, have the cluster, and promise what they must. */
static bool is_cluster_good(struct check *check)
{
    struct clock clock;
    struct cluster cluster;
    if (check->config->log_uris == NULL)
        return true;
    clock_init_system(&clock);
    if (cluster_open(&cluster, check->config, &clock, check->text, sizeof check->text) != 0)
        return false;
    check->slots = cluster.report.slots;
    return true;
}

static bool are_keys_good(struct check *check)
{
    struct server server = {.config = check->config};
    struct token_watch watch;
    struct token_error error;
    if (!token_watch_open(&watch, &server, &error)) {
        (void)snprintf(check->text, sizeof check->text, "%s", error.text);
        return false;
    }
    token_watch_close(&watch);
    return true;
}

static bool are_admin_tokens_good(struct check *check)
{
    struct admin_tokens *tokens = NULL;
    struct token_error error;
    if (check->config->admin_token_file == NULL)
        return true;
    bool is_good = admin_tokens_open(&tokens, check->config->admin_token_file, &error);
    if (!is_good)
        (void)snprintf(check->text, sizeof check->text, "%s", error.text);
    admin_tokens_close(&tokens);
    return is_good;
}

static bool is_certificate_good(struct check *check)
{
    struct clock clock;
    struct tls_context *context = NULL;
    if (check->config->tls_cert == NULL)
        return true;
    clock_init_system(&clock);
    bool is_good = tls_context_open(&context, check->config->tls_cert, check->config->tls_key, &clock, check->text,
                                    sizeof check->text)
                   == 0;
    tls_context_close(&context);
    return is_good;
}

/* The file, or the directory that it would be made in, can be written. */
static bool is_log_good(struct check *check)
{
    char parent[PATH_MAX];
    const char *path = check->config->log_file;
    struct stat info;
    /* To open and close a pipe would end who reads it. */
    if (path != NULL && stat(path, &info) == 0 && S_ISFIFO(info.st_mode)
        && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
        return true;
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        close(fd);
    if (path == NULL || fd >= 0)
        return true;
    (void)snprintf(parent, sizeof parent, "%s", path);
    if (errno == ENOENT && faccessat(AT_FDCWD, dirname(parent), W_OK | X_OK, AT_EACCESS) == 0)
        return true;
    (void)snprintf(check->text, sizeof check->text, "--log-file %.500s cannot be written: %s: choose another file",
                   path, strerror(errno));
    return false;
}

/* A server that runs on the data directory has the addresses, most likely. */
static bool are_addresses_good(struct check *check)
{
    const struct config *config = check->config;
    int status = listen_probe(config->listens, config->listen_count, check->text, sizeof check->text);
    if (status == 0)
        status = listen_probe(config->admins, config->admin_count, check->text, sizeof check->text);
    return status == 0 || (status == -EADDRINUSE && check->data.is_live);
}

static bool does_fit(struct check *check)
{
    struct memory_fit fit = {0};
    uint32_t shards = check->data.shards != 0      ? check->data.shards
                      : check->slots != 0          ? check->slots
                      : check->config->shards != 0 ? check->config->shards
                                                   : config_value_cores();
    cgroup_memory_limit(CGROUP_PROC, CGROUP_ROOT, &fit.limit);
    if (!rlimits_fit_connections(check->config, shards, check->text, sizeof check->text)
        || !memory_fit_apply(&fit, check->config, shards, check->text, sizeof check->text))
        return false;
    rlimits_warn(check->config, shards);
    memory_fit_warn(&fit, check->config);
    return true;
}

int serve_check(struct config *config)
{
    struct check check = {.config = config};
    log_configure(config->log_level > LOG_WARN ? config->log_level : LOG_WARN, config->log_format);
    if (io_check_kernel(check.text, sizeof check.text) != 0 || !is_log_good(&check) || !is_data_good(&check)
        || !are_keys_good(&check) || !are_admin_tokens_good(&check) || !is_certificate_good(&check)
        || !are_addresses_good(&check) || !is_cluster_good(&check) || !does_fit(&check) || !are_files_good(&check)) {
        fprintf(stderr, "chitchat: %s\n", check.text);
        return EXIT_WRONG;
    }
    printf("chitchat: all is well: data=\"%s\" (%s)\n", config->data_dir,
           check.data.is_live       ? "a server runs on it; whether its addresses are free was not checked"
           : check.data.shards == 0 ? "will be made"
                                    : "exists");
    return fflush(stdout) == 0 ? 0 : EXIT_WRONG;
}
