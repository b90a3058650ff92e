/* mpi_one.c - what examples/mpi_experts.c learns, learnt by one moe: the same
   cases and first weights, top_k, moe_gradient and moe_step.  test_mpi.sh
   compares what the two print. */
#define main many
#include "../examples/mpi_experts.c"
#undef main

/* Expert e of m, or the gate for e = E, becomes what a moe of its own is. */
static void copy_layers(moe *m, int e, const moe *from)
{
    int l;

    for (l = 0; l <= MOE_MAX_HIDDEN; l++) {
        moe_layer to = moe_layer_at(&m->config, e, l);
        moe_layer at = moe_layer_at(&from->config, 0, l);

        if (to.in != at.in || to.out != at.out)
            fail("moe_layer_at", "the layers are not alike");
        memcpy(m->weights + to.bias, from->weights + at.bias,
               (size_t)to.out * sizeof *m->weights);
        memcpy(m->weights + to.weight, from->weights + at.weight,
               (size_t)(to.in * to.out) * sizeof *m->weights);
    }
}

int main(void)
{
    moe_config config;
    moe m;
    int e, epoch, first;

    (void)many;
    make_cases();
    open_all();
    memset(&config, 0, sizeof config);
    config.inputs = I;
    config.outputs = 1;
    config.experts = E;
    config.top_k = K;
    config.hidden[0] = HIDDEN;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        return 1;
    for (e = 0; e < E; e++)
        copy_layers(&m, e, &expert[e]);
    copy_layers(&m, E, &gate);
    for (epoch = 1; epoch <= EPOCHS; epoch++) {
        double sum = 0;

        for (first = 0; first < CASES; first += BATCH) {
            moe_data data = {BATCH, NULL, NULL, NULL, NULL};

            data.x = x + first * I;
            data.d = d + first;
            sum += (double)moe_gradient(&m, &data);
            if (moe_step(&m, NULL, 1 / (moe_real)BATCH) != MOE_OK)
                return 2;
        }
        printf("epoch %d: mean E %.7f\n", epoch, sum / CASES);
    }
    return 0;
}
