/* network.h - the network that train.c trains and main.c runs: a gas sensor's
   reading and the temperature (degrees) in, the concentration out.  Below and
   above its saturation the sensor follows different laws. */
enum { INPUTS = 2, OUTPUTS = 1, EXPERTS = 4, HIDDEN = 6 };

static void network(moe_config *config)
{
    static const moe_config none;

    *config = none;
    config->inputs = INPUTS;
    config->outputs = OUTPUTS;
    config->experts = EXPERTS;
    config->hidden[0] = HIDDEN;
    config->activation = MOE_ACT_TANH;
    config->loss = MOE_LOSS_BLEND;
    config->block = 1;           /* work memory for one case at a time */
}
