/* main.c: parses the command line and runs the command. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/config.h"
#include "server/serve.h"

extern char **environ;

int main(int argc, char **argv)
{
    struct config config;
    char text[CONFIG_TEXT_BYTES];
    switch (config_parse(argc, argv, environ, &config, text, sizeof text)) {
    case CONFIG_SERVE: return serve(&config);
    case CONFIG_VERIFY: return command_verify(&config);
    case CONFIG_DUMP: return command_dump(&config);
    case CONFIG_BACKUP: return command_backup(&config);
    case CONFIG_RESTORE: return command_restore(&config);
    case CONFIG_HELP:
    case CONFIG_VERSION: fputs(text, stdout); return 0;
    case CONFIG_ERROR: break;
    }
    fprintf(stderr, "%s\n", text);
    return 2;
}
