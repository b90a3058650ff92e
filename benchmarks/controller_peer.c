/* controller_peer.c - W = sum_i p_i W_i for each character, then a product with
   that by OpenBLAS's sgemv.  Compiled with -O3 -march=native. */
#include "controller_peer.h"
#include <cblas.h>

/* to (count) = sum_i p_i from_i of eight experts, in one pass over them all,
   as Eigen does it */
static void blend(const float *p, long count, const float *from,
                  float *restrict to)
{
    const float *a = from, *b = a + count, *c = b + count, *d = c + count;
    const float *e = d + count, *f = e + count, *g = f + count, *h = g + count;
    long k;

    for (k = 0; k < count; k++)
        to[k] = p[0] * a[k] + p[1] * b[k] + p[2] * c[k] + p[3] * d[k]
              + p[4] * e[k] + p[5] * f[k] + p[6] * g[k] + p[7] * h[k];
}

static void blend_all(int one_pass, const float *p, long count,
                      const float *from, float *to)
{
    if (one_pass)
        blend(p, count, from, to);
    else
        cblas_sgemv(CblasRowMajor, CblasTrans, PEER_EXPERTS, (int)count, 1,
                    from, (int)count, p, 1, 0, to, 1);
}

void peer_predict(const peer_net *net, int one_pass, const float *x,
                  const float *p, int n, float *y)
{
    float unit[2][1024];
    int c, l, k;

    openblas_set_num_threads(1);
    for (c = 0; c < n; c++, p += PEER_EXPERTS) {
        const float *from = x + c * net->width[0];

        for (l = 0; l < PEER_LAYERS; l++) {
            const int in = net->width[l], out = net->width[l + 1];
            float *to = l + 1 == PEER_LAYERS ? y + c * out : unit[l & 1];

            blend_all(one_pass, p, out, net->bias[l], to);
            blend_all(one_pass, p, (long)in * out, net->weight[l], net->room);
            cblas_sgemv(CblasRowMajor, CblasTrans, in, out, 1, net->room, out,
                        from, 1, 1, to, 1);
            for (k = 0; k < out && l + 1 < PEER_LAYERS; k++)
                to[k] = to[k] > 0 ? to[k] : 0;
            from = to;
        }
    }
}

/* Eight streams at once, as memory likes it. */
float peer_read(const float *at, long count)
{
    const long part = count / 512 * 64;
    float sum[64] = {0};
    long i;
    int k, s;

    for (i = 0; i < part; i += 8)
        for (s = 0; s < 8; s++)
            for (k = 0; k < 8; k++)
                sum[8 * s + k] += at[s * part + i + k];
    for (k = 1; k < 64; k++)
        sum[0] += sum[k];
    return sum[0];
}
