/* export_peers.cpp - the networks of export_speed.c in two libraries that know
   sizes when they are compiled, as functions of C; see export_speed.sh.  Their
   weights are random, too, but others. */
#include <cstdint>

static float random_weight()
{
    static std::uint64_t state = 1991;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(state >> 40) / (1 << 25) - 0.25f;
}

#ifdef RTNEURAL_DEFAULT_ALIGNMENT
#include <RTNeural/RTNeural.h>

template <int I, int H, int O>
using two_layers = RTNeural::ModelT<float, I, O, RTNeural::DenseT<float, I, H>,
    RTNeural::ReLuActivationT<float, H>, RTNeural::DenseT<float, H, O>>;

template <int I, int H, int O>
using three_layers = RTNeural::ModelT<float, I, O,
    RTNeural::DenseT<float, I, H>, RTNeural::ReLuActivationT<float, H>,
    RTNeural::DenseT<float, H, H>, RTNeural::ReLuActivationT<float, H>,
    RTNeural::DenseT<float, H, O>>;

template <class Layer> static void fill(Layer &layer)
{
    std::vector<std::vector<float>> w(Layer::out_size,
                                      std::vector<float>(Layer::in_size));
    std::vector<float> b(Layer::out_size);

    for (auto &row : w)
        for (float &x : row)
            x = random_weight();
    for (float &x : b)
        x = random_weight();
    layer.setWeights(w);
    layer.setBias(b.data());
}

template <class Model> static void forward(Model &model, const float *x,
                                           float *y)
{
    const float *out;

    model.forward(x);
    out = model.getOutputs();
    for (int k = 0; k < Model::output_size; k++)
        y[k] = out[k];
}

extern "C" void tiny_peer_predict(const float *x, float *y)
{
    static two_layers<2, 6, 4> model;
    static bool filled = (fill(model.get<0>()), fill(model.get<2>()), true);

    (void)filled;
    forward(model, x, y);
}

extern "C" void small_peer_predict(const float *x, float *y)
{
    static three_layers<16, 32, 4> model;
    static bool filled = (fill(model.get<0>()), fill(model.get<2>()),
                          fill(model.get<4>()), true);

    (void)filled;
    forward(model, x, y);
}
#endif

#ifdef TINYMIND_ENABLE_FLOAT
#include <moe.hpp>

template <class Layer> static void set(Layer &layer)
{
    for (std::size_t i = 0; i < Layer::TotalWeights; i++)
        layer.setWeight(i, random_weight());
    for (std::size_t i = 0; i < Layer::TotalBiases; i++)
        layer.setBias(i, random_weight());
}

typedef tinymind::TopKMixtureOfExperts<float, 16, 4, 8, 2> mixture;

static bool set_all(mixture &m)
{
    set(m.router());
    for (std::size_t e = 0; e < mixture::NumberOfExperts; e++)
        set(m.expert(e));
    return true;
}

extern "C" void sparse_peer_predict(const float *x, float *y)
{
    static mixture model;
    static bool filled = set_all(model);

    (void)filled;
    model.forward(x, y);
}
#endif
