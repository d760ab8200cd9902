/* Random numbers: the contract is in base/rand.h. */

#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "guaco/error.h"

int
guaco__rand_bytes(void *out, size_t len)
{
    unsigned char *at = out;

    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return GUACO_E_IO;
        assert((size_t)n <= len);
        at += n;
        len -= (size_t)n;
    }
    return GUACO_OK;
}

/* SplitMix64, which the authors of xoshiro recommend for seeding it: it gives
 * four words of which at most one is zero. */
static uint64_t
splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void
guaco__rand_init(struct guaco__rand *rand, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rand->s[i] = splitmix(&seed);
}

static uint64_t
rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t
guaco__rand_next(struct guaco__rand *rand)
{
    uint64_t *s = rand->s;
    assert((s[0] | s[1] | s[2] | s[3]) != 0);

    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t
guaco__rand_below(struct guaco__rand *rand, uint64_t bound)
{
    assert(bound > 0);

    /* Reject the first 2^64 mod bound values: what is left divides evenly. */
    uint64_t skip = (0 - bound) % bound;
    uint64_t x;
    do
        x = guaco__rand_next(rand);
    while (x < skip);
    return x % bound;
}
