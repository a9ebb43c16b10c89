/* What libcriterion needs of libgit2: nothing is compared, and no difference is shown. */
int git_libgit2_init(void);
int git_libgit2_shutdown(void);
int git_diff_buffers(void);

int git_libgit2_init(void)
{
    return 1;
}

int git_libgit2_shutdown(void)
{
    return 0;
}

/* An error, as libgit2 reports one. */
int git_diff_buffers(void)
{
    return -1;
}
