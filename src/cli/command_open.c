/* command_open.c: the data directory that a command reads (command.h). */
#include <errno.h>

#include "cli/command.h"
#include "storage/offline/manifests.h"

int command_open_data(const char *path, bool may_be_live, struct datadir **datadir_r)
{
    struct datadir_error error;
    int status = datadir_open_read(datadir_r, path, may_be_live, &error);
    if (status == 0 && (status = manifests_check(*datadir_r, &error)) != 0)
        datadir_close(datadir_r);
    return status == 0 ? 0 : command_complain(status == -EBADMSG ? 1 : 2, error.text);
}
