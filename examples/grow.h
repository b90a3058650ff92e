/* grow.h - more experts, or fewer, in a trained mixture: to be copied; needs
   moe.h before it

   grow() makes a mixture whose expert i is a copy of expert origin[i] of
   another.  So it splits experts, starts a mixture from one network and prunes:
     {0, 1, 2, 2}   expert 2 of three is split
     {0, 0, 0, 0}   four from the one of an ordinary network
     {0, 2}         expert 1 of three is left out
   Copies of an expert share what it had: log(p/r) = log p - log r, so the
   logits of r copies are lowered by log r.  To part they must differ: pairs
   have their last layers' weights disturbed one up, one down, which a dense
   prediction of linear outputs does not see. */
#ifndef GROW_H
#define GROW_H
#include <string.h>

/* log r, by its series in (r-1)/(r+1) */
static inline double grow_log(int r)
{
    double t = (r - 1.0) / (r + 1), power = 2 * t, sum = 0;
    int k;

    for (k = 1; k < 400; k += 2, power *= t * t)
        sum += power / k;
    return sum;
}

/* A factor near 1 that depends on (seed, i) alone. */
static inline moe_real grow_factor(double disturb, uint64_t seed, size_t i)
{
    uint64_t v = (seed + i + 1) * 0x9e3779b97f4a7c15u;

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return (moe_real)(1 + disturb * ((double)(v >> 40) / 8388608 - 1));
}

/* How many of the n experts stem from expert e. */
static inline int grow_copies(const int *origin, int n, int e)
{
    int i, count = 0;

    for (i = 0; i < n; i++)
        count += origin[i] == e;
    return count;
}

/* Expert i of `to` from its origin; disturb: 0, or up or down. */
static inline void grow_expert(moe *to, int i, const moe *from, int origin,
                               double disturb, uint64_t seed)
{
    moe_layer a, b;
    size_t k;
    int l;

    for (l = 0; (a = moe_layer_at(&to->config, i, l)).out > 0; l++) {
        double last = moe_layer_at(&to->config, i, l + 1).out > 0 ? 0 : disturb;

        b = moe_layer_at(&from->config, origin, l);
        for (k = 0; k < (size_t)a.out; k++)
            to->weights[a.bias + k] = from->params[b.bias + k];
        for (k = 0; k < (size_t)a.in * (size_t)a.out; k++)
            to->weights[a.weight + k] = from->params[b.weight + k]
                                      * grow_factor(last, seed, k);
    }
}

/* The gate: hidden layers as they are, and a column for each expert. */
static inline void grow_gate(moe *to, const moe *from, const int *origin)
{
    const int n = to->config.experts, had = from->config.experts;
    const moe_real *balance = from->params + from->trained_count - had;
    size_t k, j;
    int i, l;
    moe_layer a, b;

    for (l = 0; had > 1
                && (a = moe_layer_at(&to->config, n, l)).out > 0; l++) {
        int hidden = moe_layer_at(&to->config, n, l + 1).out > 0;

        b = moe_layer_at(&from->config, had, l);
        for (i = 0; i < a.out; i++) {
            j = (size_t)(hidden ? i : origin[i]);
            to->weights[a.bias + (size_t)i] = from->params[b.bias + j];
            for (k = 0; k < (size_t)a.in; k++)
                to->weights[a.weight + k * (size_t)a.out + (size_t)i] =
                    from->params[b.weight + k * (size_t)b.out + j];
            if (!hidden) {
                to->weights[a.bias + (size_t)i] -=
                    (moe_real)grow_log(grow_copies(origin, n, origin[i]));
                to->weights[to->trained_count - (size_t)n + (size_t)i] =
                    balance[j];
            }
        }
    }
}

/* The deviations, learnt or fitted: that of (1.3) and each expert's. */
static inline void grow_sigma(moe *to, const moe *from, const int *origin)
{
    moe_real *sigma;
    int i;

    memcpy(&sigma, &to->sigma, sizeof sigma);     /* it is memory of `to` */
    for (i = -1; i < to->config.experts; i++)
        sigma[1 + i] = from->sigma[1 + (i < 0 ? -1 : origin[i])];
}

/* Experts that do not learn, by the numbers that they have now. */
static inline uint64_t grow_frozen(uint64_t frozen, const int *origin, int n)
{
    uint64_t now = 0;
    int i;

    for (i = 0; i < n && i < 64; i++)
        if (origin[i] < 64 && (frozen >> origin[i] & 1) != 0)
            now |= (uint64_t)1 << i;
    return now;
}

/* Opens `to` with n experts, each a copy of one of `from`; train it with
   keep_units, for it has the scales of `from`. */
static inline moe_status grow(moe *to, const moe *from, const int *origin,
                              int n, double disturb, uint64_t seed)
{
    moe_config config = from->config;
    moe_status status;
    size_t k, scales = from->param_count - from->trained_count;
    int i;

    config.experts = n;
    config.top_k = config.top_k < from->config.experts && config.top_k < n
                 ? config.top_k : 0;
    config.balance_loss = config.top_k > 0 ? config.balance_loss : 0;
    config.frozen_experts = grow_frozen(config.frozen_experts, origin, n);
    status = moe_open(to, &config, NULL, 0);
    if (status != MOE_OK)
        return status;
    for (i = 0; i < n; i++) {
        int copies = grow_copies(origin, n, origin[i]);
        int before = grow_copies(origin, i, origin[i]);  /* so many of them */
        double change = before == copies - 1 && copies % 2 ? 0
                      : before % 2 ? -disturb : disturb;

        grow_expert(to, i, from, origin[i], change,
                    seed + 1000003u * (uint64_t)(before / 2 * n + origin[i]));
    }
    if (n > 1)
        grow_gate(to, from, origin);
    for (k = 0; k < scales; k++)
        to->weights[to->trained_count + k] =
            from->params[from->trained_count + k];
    grow_sigma(to, from, origin);
    return MOE_OK;
}

/* Fills origin with the experts whose share of use is at least `share`; how
   many these are. */
static inline int grow_pruned(const moe_report *r, int experts, double share,
                              int *origin)
{
    int i, n = 0;

    for (i = 0; i < experts; i++)
        if ((double)r->usage[i] >= share)
            origin[n++] = i;
    return n;
}
#endif
