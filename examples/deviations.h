/* deviations.h - a deviation for each expert, and the likelihood with them:
   for models of one output under (1.3); to be copied, after moe.h and math.h

   Training takes one sigma for all.  Here it is estimated anew between pieces
   of training, and at the end every expert gets a deviation s_i of its own, by
   EM on s_i alone: s_i^2 = sum_n h_ni e_ni / sum_n h_ni. */
#ifndef DEVIATIONS_H
#define DEVIATIONS_H

/* log sum_i p_i N(d; o_i, s_i^2) of a case; h (E) becomes the posteriors. */
static inline double log_density(const moe *m, int n, double d,
                                 const double *s, double *h)
{
    int i, E = m->config.experts;
    double sum = 0, most = -HUGE_VAL;

    for (i = 0; i < E; i++) {
        double z = (d - (double)m->o[n * E + i]) / s[i];

        h[i] = log((double)m->p[n * E + i]) - z * z / 2
             - log(s[i] * sqrt(2 * 3.14159265358979));
        most = fmax(most, h[i]);
    }
    for (i = 0; i < E; i++)
        sum += h[i] = exp(h[i] - most);
    for (i = 0; i < E; i++)
        h[i] /= sum;
    return most + log(sum);
}

/* One step of EM on s (E), or on one s for all; returns the log-likelihood of
   the data by the s before.  m->p, m->o show all of data; E is at most 16. */
static inline double deviations_step(const moe *m, const moe_data *data,
                                     double *s, int common)
{
    double h[16], error[16] = {0}, mass[16] = {0}, L = 0;
    int i, n, E = m->config.experts;

    for (n = 0; n < data->n; n++) {
        L += log_density(m, n, (double)data->d[n], s, h);
        for (i = 0; i < E; i++) {
            double e = (double)(data->d[n] - m->o[n * E + i]);

            error[common ? 0 : i] += h[i] * e * e;
            mass[common ? 0 : i] += h[i];
        }
    }
    for (i = 0; i < E; i++)
        s[i] = fmax(sqrt(error[common ? 0 : i] / mass[common ? 0 : i]), 1e-9);
    return L;
}

/* Train m in pieces, sigma and then s estimated; returns the log-likelihood.
   scale: one of d's deviations; block holds all the data. */
static inline double train_with_deviations(moe *m, const moe_data *data,
                                           const moe_training *t, double *s)
{
    double scale, L = 0;
    int i, piece, E = m->config.experts;

    for (i = 0; i < E; i++)
        s[i] = 1;
    for (piece = 0; piece < 20; piece++) {
        if (moe_train(m, data, NULL, t, NULL) != MOE_OK)
            return -HUGE_VAL;
        scale = (double)m->params[m->trained_count + 1];
        moe_forward(m, data->x, data->n);
        for (i = 0; piece == 0 && i < E; i++)
            s[i] = scale;
        for (i = 0; i < 20; i++)
            deviations_step(m, data, s, 1);
        m->config.sigma = (moe_real)fmax(s[0] / scale, 0.01);
    }
    for (i = 0; i < 200; i++)
        L = deviations_step(m, data, s, 0);
    return L;
}
#endif
