/* guaco: one table entry a command; each command is its own file. */

#include <stdio.h>
#include <string.h>

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("guaco %s\n", GUACO_VERSION);
        return 0;
    }
    fprintf(stderr, "usage: guaco --version\n");
    return 2;
}
