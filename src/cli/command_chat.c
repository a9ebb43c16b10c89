/* command_chat.c: `chitchat chat`. */
#include <unistd.h>

#include "cli/chat.h"
#include "cli/command.h"

int command_chat(const struct config *config)
{
    bool is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && config->wants_json == 0;
    return is_terminal ? chat_tty_run(config) : chat_pipe_run(config);
}
