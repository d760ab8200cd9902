/* That this program links is the test; running it shows that the loader finds
 * every library too. */

#include "guaco/error.h"

int
main(void)
{
    return guaco_strerror(GUACO_OK) == 0;
}
