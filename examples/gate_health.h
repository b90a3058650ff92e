/* gate_health.h - is a gate well, and what brings back an expert that is not:
   diagnose() and revive(), to be copied; they need moe.h alone, before them */
#ifndef GATE_HEALTH_H
#define GATE_HEALTH_H

/* log n = sum_k log(k / (k-1)), each by two terms of its series: to 0.002 */
static inline float gate_log(int n)
{
    float sum = 0;
    int k;

    for (k = 2; k <= n; k++) {
        float t = 1 / (float)(2 * k - 1);

        sum += 2 * t + 2 * t * t * t / 3;
    }
    return sum;
}

/* What a report says about the gate, and what to do: one sentence.  top_k: as
   in the configuration, 0 when all experts run; only a choice of some can be
   balanced, by balance_rate or balance_loss. */
static inline const char *diagnose(const moe_report *r, int experts, int top_k)
{
    int i, sparse = top_k % experts != 0, choices = sparse ? top_k : experts;
    int uniform = (float)r->gate_entropy > 0.95f * gate_log(choices);
    int always = sparse && (float)(r->imbalance * (moe_real)top_k)
                           > 0.9f * (float)experts;
    float lead = 0;                         /* the largest mean proportion */

    for (i = 0; i < experts; i++)
        lead = (float)r->usage[i] > lead ? (float)r->usage[i] : lead;
    if (experts < 2)
        return "One expert: there is no gate to judge.";
    if (lead > 0.9f || (sparse && experts - r->dead <= top_k))
        return sparse ? "Collapsed: set balance_rate, or revive the dead."
                      : "Collapsed: start anew at a lower rate.";
    if (uniform && !always && !(sparse && r->dead > 0))
        return "Uniform: train on, or lower sigma.";
    if (always || (lead > 0.5f && lead * (float)experts > 2))
        return sparse ? "One expert dominates: set balance_rate."
                      : "One expert dominates: lower the rate.";
    if (r->dead > 0)
        return sparse ? "Dead experts: balance, or revive them."
                      : "Dead experts: revive them.";
    return "Healthy: change nothing.";
}

/* A number in -1..1 from a seed that moves on. */
static inline float gate_chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(*seed >> 40) / 8388608 - 1;
}

/* w[to + i] = w[from + i], disturbed by so much of itself */
static inline void gate_copy(moe_real *w, size_t to, size_t from, size_t count,
                             float disturb, uint64_t *seed)
{
    size_t i;

    for (i = 0; i < count; i++)
        w[to + i] = w[from + i]
                  * (1 + (moe_real)(disturb * gate_chance(seed)));
}

/* A dead expert becomes a copy of the busiest: its weights, slightly disturbed
   so that the two can part, and its column of the gate.  log(p/2) = log p -
   log 2: with both logits lowered by log 2 the two share what the busiest had,
   and a dense prediction changes by no more than the disturbance does and the
   little that the dead expert had said.  (Hinton's word is speciation.)  In a
   sparse one both may be chosen for a case, at the cost of another's place. */
static inline void revive(moe *m, int dead, int busiest, uint64_t seed)
{
    const moe_config *c = &m->config;
    const moe_real log_2 = (moe_real)0.69314718055994531;
    const float little = 0.01f;
    moe_real *w = m->weights;
    moe_real *balance = w + m->trained_count - (size_t)c->experts;
    moe_layer to, from, gate = moe_layer_at(c, c->experts, 0);
    size_t row, j;
    int l;

    for (l = 0; (to = moe_layer_at(c, dead, l)).out > 0; l++) {
        from = moe_layer_at(c, busiest, l);
        gate_copy(w, to.bias, from.bias, (size_t)to.out, little, &seed);
        gate_copy(w, to.weight, from.weight, (size_t)to.in * (size_t)to.out,
                  little, &seed);
    }
    for (l = 1; (to = moe_layer_at(c, c->experts, l)).out > 0; l++)
        gate = to;                                        /* its last layer */
    w[gate.bias + (size_t)busiest] -= log_2;
    w[gate.bias + (size_t)dead] = w[gate.bias + (size_t)busiest];
    for (j = 0; j < (size_t)gate.in; j++) {
        row = gate.weight + j * (size_t)gate.out;
        gate_copy(w, row + (size_t)dead, row + (size_t)busiest, 1, little,
                  &seed);
    }
    balance[dead] = balance[busiest];
}

/* Every expert whose load is 0, each from what is the busiest by then: the two
   share its load.  load (E): a copy of the report's, which is changed. */
static inline int revive_all(moe *m, moe_real *load, uint64_t seed)
{
    int i, j, busiest, revived = 0, experts = m->config.experts;

    for (i = 0; i < experts; i++) {
        if (load[i] > 0)
            continue;
        for (busiest = 0, j = 1; j < experts; j++)
            busiest = load[j] > load[busiest] ? j : busiest;
        revive(m, i, busiest, seed + (uint64_t)i);
        load[i] = load[busiest] /= 2;
        revived++;
    }
    return revived;
}
#endif
