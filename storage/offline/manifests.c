#include "storage/offline/manifests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "storage/datadir/apart.h"
#include "storage/offline/run_check.h"
#include "storage/runs/manifest.h"

static void open_runs(struct apart *apart, const char *dir, const struct manifest_state *state)
{
    for (uint32_t i = 0; i < state->count; i++) {
        struct run *run;
        struct store_error error;
        run_path(apart->path, dir, state->entries[i].id);
        if (run_open(&run, dir, &state->entries[i], &error) == 0)
            run_close(&run);
    }
}

static int read_all(struct apart *apart, void *context)
{
    const struct datadir *datadir = context;
    char dir[sizeof apart->path - 16];
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)dup2(nowhere, STDERR_FILENO); /* LMDB would write there what it finds; the caller has one line for it */
    for (uint32_t i = 0; i < datadir_shards(datadir); i++) {
        struct manifest_state state;
        struct store_error error;
        if (datadir_runs_path(datadir, i, dir, sizeof dir) != 0)
            continue;
        snprintf(apart->path, sizeof apart->path, "%s/manifest.mdb", dir);
        if (manifest_read(apart->path, datadir_is_live(datadir), &state, &error) != 0)
            continue;
        open_runs(apart, dir, &state);
        manifest_state_fini(&state);
    }
    return 0;
}

int manifests_check(const struct datadir *datadir, struct datadir_error *error_r)
{
    int code;
    struct apart *apart = NULL;
    if (apart_open(&apart) != 0)
        return 0;
    int status = apart_run(apart, read_all, (void *)(uintptr_t)datadir, &code);
    if (status == -EBADMSG)
        snprintf(error_r->text, sizeof error_r->text, "%.500s is damaged, %.100s: " RUN_ADVICE, apart->path,
                 apart->text);
    else if (status == -EINTR)
        snprintf(error_r->text, sizeof error_r->text, "the manifests were not read: %.100s", apart->text);
    apart_close(&apart);
    return status == -EBADMSG || status == -EINTR ? status : 0;
}
