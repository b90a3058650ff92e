/* files_0_1.h - written by reference/files_0_1.c and moe.h 0.1:
   headers and numbers of files, and what their models predict
   for the cases (-3,-2), (-2,-1), (-1,0), (0,1). */
#include <stdint.h>

static const char dense_weights_header[] =
    "{\"__metadata__\":{\"inputs\":\"2\",\"outputs\":\"1\",\"experts"
    "\":\"2\",\"top_k\":\"2\",\"hidden\":\"0\",\"gate_hidden\":\"0\",\"ex"
    "pert_sees\":\"0,2\",\"gate_sees\":\"0,2\",\"activation\":\"rel"
    "u\",\"output\":\"linear\",\"loss\":\"mixture\",\"sigma\":\"0x3f8"
    "00000\",\"balance\":\"0x0\",\"rows\":\"12345\",\"seed\":\"7\",\"fi"
    "le\":\"moe.h 1\"},\"experts.0.bias\":{\"dtype\":\"F32\",\"shap"
    "e\":[2,1],\"data_offsets\":[0,8]},\"experts.0.weight\":{\""
    "dtype\":\"F32\",\"shape\":[2,2,1],\"data_offsets\":[8,24]},"
    "\"gate.0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offse"
    "ts\":[24,32]},\"gate.0.weight\":{\"dtype\":\"F32\",\"shape\":"
    "[2,2],\"data_offsets\":[32,48]},\"scale.d\":{\"dtype\":\"F3"
    "2\",\"shape\":[2,1],\"data_offsets\":[48,56]},\"scale.x\":{"
    "\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[56,72]}}"
    "                    ";
static const uint32_t dense_weights_numbers[] = {
    0xbde34160, 0xbf2370b0, 0x3f05a050, 0x3d9f9668, 0xbde5e0fe,
    0xbecc6f68, 0xbd37ed36, 0x3d37ed36, 0x3d380333, 0xbd380333,
    0x3d382874, 0xbd382874, 0x3daaaaa0, 0x3fb0e2fc, 0xbe800000,
    0xbdaaaaa0, 0x3eff55ff, 0x3f393fa2,
};
static const char dense_checkpoint_header[] =
    "{\"__metadata__\":{\"inputs\":\"2\",\"outputs\":\"1\",\"experts"
    "\":\"2\",\"top_k\":\"2\",\"hidden\":\"0\",\"gate_hidden\":\"0\",\"ex"
    "pert_sees\":\"0,2\",\"gate_sees\":\"0,2\",\"activation\":\"rel"
    "u\",\"output\":\"linear\",\"loss\":\"mixture\",\"sigma\":\"0x3f8"
    "00000\",\"balance\":\"0x0\",\"rows\":\"12345\",\"seed\":\"7\",\"fi"
    "le\":\"moe.h 1\",\"training\":\"3,3\"},\"experts.0.bias\":{\"d"
    "type\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},\"exp"
    "erts.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2,1],\"data_"
    "offsets\":[8,24]},\"gate.0.bias\":{\"dtype\":\"F32\",\"shape"
    "\":[2],\"data_offsets\":[24,32]},\"gate.0.weight\":{\"dtyp"
    "e\":\"F32\",\"shape\":[2,2],\"data_offsets\":[32,48]},\"scal"
    "e.d\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[48"
    ",56]},\"scale.x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_o"
    "ffsets\":[56,72]},\"training.best\":{\"dtype\":\"F32\",\"sha"
    "pe\":[12],\"data_offsets\":[72,120]},\"training.first\":{"
    "\"dtype\":\"F32\",\"shape\":[12],\"data_offsets\":[120,168]}"
    ",\"training.second\":{\"dtype\":\"F32\",\"shape\":[12],\"data"
    "_offsets\":[168,216]},\"training.state\":{\"dtype\":\"F32\""
    ",\"shape\":[4],\"data_offsets\":[216,232]}}             "
    "                            ";
static const uint32_t dense_checkpoint_numbers[] = {
    0xbde34160, 0xbf2370b0, 0x3f05a050, 0x3d9f9668, 0xbde5e0fe,
    0xbecc6f68, 0xbd37ed36, 0x3d37ed36, 0x3d380333, 0xbd380333,
    0x3d382874, 0xbd382874, 0x3daaaaa0, 0x3fb0e2fc, 0xbe800000,
    0xbdaaaaa0, 0x3eff55ff, 0x3f393fa2, 0xbe00de00, 0xbf27442f,
    0x3f096cf3, 0x3db51141, 0xbdc72d4e, 0xbec4c810, 0xbcf58b84,
    0x3cf58b84, 0x3cf597c2, 0xbcf597c1, 0x3cf5ac67, 0xbcf5ac67,
    0xbccf3c32, 0xbd67b526, 0x3d07573d, 0x3b1a125b, 0x3d96d4e0,
    0x3ce20e38, 0x3bd91992, 0xbbd91991, 0xbc94c2fe, 0x3c94c2fe,
    0xbd1def16, 0x3d1def16, 0x37de8b0a, 0x3909ec06, 0x383ee2e5,
    0x34f7ab17, 0x39685db0, 0x38033a75, 0x35f2ab91, 0x35f2ab90,
    0x37636baa, 0x37636baa, 0x387f735e, 0x387f735f, 0x3f3a9fbd,
    0x3f7f3b98, 0x3f800000, 0x3f10c49f,
};
static const float dense_predicts[] = {
    -0.398696154f, -0.507410109f, -0.566747606f, -0.576000929f
};

static const char sparse_weights_header[] =
    "{\"__metadata__\":{\"inputs\":\"2\",\"outputs\":\"1\",\"experts"
    "\":\"3\",\"top_k\":\"2\",\"hidden\":\"2\",\"gate_hidden\":\"2\",\"ex"
    "pert_sees\":\"0,2\",\"gate_sees\":\"0,2\",\"activation\":\"tan"
    "h\",\"output\":\"linear\",\"loss\":\"mixture\",\"sigma\":\"0x3f8"
    "00000\",\"balance\":\"0x0\",\"rows\":\"5\",\"seed\":\"7\",\"file\":"
    "\"moe.h 1\"},\"experts.0.bias\":{\"dtype\":\"F32\",\"shape\":["
    "3,2],\"data_offsets\":[0,24]},\"experts.0.weight\":{\"dty"
    "pe\":\"F32\",\"shape\":[3,2,2],\"data_offsets\":[24,72]},\"e"
    "xperts.1.bias\":{\"dtype\":\"F32\",\"shape\":[3,1],\"data_of"
    "fsets\":[72,84]},\"experts.1.weight\":{\"dtype\":\"F32\",\"s"
    "hape\":[3,2,1],\"data_offsets\":[84,108]},\"gate.0.bias\""
    ":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[108,116]"
    "},\"gate.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data"
    "_offsets\":[116,132]},\"gate.1.bias\":{\"dtype\":\"F32\",\"s"
    "hape\":[3],\"data_offsets\":[132,144]},\"gate.1.weight\":"
    "{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[144,168"
    "]},\"gate.balance\":{\"dtype\":\"F32\",\"shape\":[3],\"data_o"
    "ffsets\":[168,180]},\"scale.d\":{\"dtype\":\"F32\",\"shape\":"
    "[2,1],\"data_offsets\":[180,188]},\"scale.x\":{\"dtype\":\""
    "F32\",\"shape\":[2,2],\"data_offsets\":[188,204]}}       "
    "                                        ";
static const uint32_t sparse_weights_numbers[] = {
    0xbde4a729, 0xbf23ced9, 0x3f1b79ad, 0x3d9c6ddb, 0xbdb7d16b,
    0xbeaadcdb, 0xba36b430, 0xbe4b3303, 0xbef210aa, 0xbd9f5fc0,
    0xbf079c3a, 0x3f27e9cb, 0x3f205670, 0x3ef6c2de, 0x3efb69fa,
    0x3dbd1d93, 0x3f05caaa, 0xbe64e6f0, 0x3dfe5f46, 0x3ea4dfa7,
    0x3e67cad2, 0xbf02e104, 0xbe33c75e, 0xbe1b5e36, 0x3f091834,
    0x3f2090bf, 0xbf145b37, 0xbdf73fc5, 0x3f137e3a, 0xbdc7136c,
    0x3f29f676, 0xbf2736b4, 0xbe3f65f3, 0x3d2c708a, 0xbc7e8302,
    0xbcbea89e, 0x3d20ff8e, 0xbd253e89, 0x3ba771e5, 0x3d2ab13e,
    0xbd1514c7, 0xbcc3c51c, 0x00000000, 0x00000000, 0x00000000,
    0x3daaaaa0, 0x3fb0e2fc, 0xbe800000, 0xbdaaaaa0, 0x3eff55ff,
    0x3f393fa2,
};
static const char sparse_checkpoint_header[] =
    "{\"__metadata__\":{\"inputs\":\"2\",\"outputs\":\"1\",\"experts"
    "\":\"3\",\"top_k\":\"2\",\"hidden\":\"2\",\"gate_hidden\":\"2\",\"ex"
    "pert_sees\":\"0,2\",\"gate_sees\":\"0,2\",\"activation\":\"tan"
    "h\",\"output\":\"linear\",\"loss\":\"mixture\",\"sigma\":\"0x3f8"
    "00000\",\"balance\":\"0x0\",\"rows\":\"5\",\"seed\":\"7\",\"file\":"
    "\"moe.h 1\",\"training\":\"3,3\"},\"experts.0.bias\":{\"dtype"
    "\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},\"expert"
    "s.0.weight\":{\"dtype\":\"F32\",\"shape\":[3,2,2],\"data_off"
    "sets\":[24,72]},\"experts.1.bias\":{\"dtype\":\"F32\",\"shap"
    "e\":[3,1],\"data_offsets\":[72,84]},\"experts.1.weight\":"
    "{\"dtype\":\"F32\",\"shape\":[3,2,1],\"data_offsets\":[84,10"
    "8]},\"gate.0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_o"
    "ffsets\":[108,116]},\"gate.0.weight\":{\"dtype\":\"F32\",\"s"
    "hape\":[2,2],\"data_offsets\":[116,132]},\"gate.1.bias\":"
    "{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[132,144]}"
    ",\"gate.1.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_"
    "offsets\":[144,168]},\"gate.balance\":{\"dtype\":\"F32\",\"s"
    "hape\":[3],\"data_offsets\":[168,180]},\"scale.d\":{\"dtyp"
    "e\":\"F32\",\"shape\":[2,1],\"data_offsets\":[180,188]},\"sc"
    "ale.x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":["
    "188,204]},\"training.best\":{\"dtype\":\"F32\",\"shape\":[45"
    "],\"data_offsets\":[204,384]},\"training.first\":{\"dtype"
    "\":\"F32\",\"shape\":[45],\"data_offsets\":[384,564]},\"trai"
    "ning.second\":{\"dtype\":\"F32\",\"shape\":[45],\"data_offse"
    "ts\":[564,744]},\"training.state\":{\"dtype\":\"F32\",\"shap"
    "e\":[4],\"data_offsets\":[744,760]}}   ";
static const uint32_t sparse_checkpoint_numbers[] = {
    0xbde4a729, 0xbf23ced9, 0x3f1b79ad, 0x3d9c6ddb, 0xbdb7d16b,
    0xbeaadcdb, 0xba36b430, 0xbe4b3303, 0xbef210aa, 0xbd9f5fc0,
    0xbf079c3a, 0x3f27e9cb, 0x3f205670, 0x3ef6c2de, 0x3efb69fa,
    0x3dbd1d93, 0x3f05caaa, 0xbe64e6f0, 0x3dfe5f46, 0x3ea4dfa7,
    0x3e67cad2, 0xbf02e104, 0xbe33c75e, 0xbe1b5e36, 0x3f091834,
    0x3f2090bf, 0xbf145b37, 0xbdf73fc5, 0x3f137e3a, 0xbdc7136c,
    0x3f29f676, 0xbf2736b4, 0xbe3f65f3, 0x3d2c708a, 0xbc7e8302,
    0xbcbea89e, 0x3d20ff8e, 0xbd253e89, 0x3ba771e5, 0x3d2ab13e,
    0xbd1514c7, 0xbcc3c51c, 0x00000000, 0x00000000, 0x00000000,
    0x3daaaaa0, 0x3fb0e2fc, 0xbe800000, 0xbdaaaaa0, 0x3eff55ff,
    0x3f393fa2, 0xbe011a50, 0xbf27695d, 0x3f187657, 0x3db7d79a,
    0xbda09a55, 0xbeafb74e, 0xbc7cd18a, 0xbe5a4422, 0xbef9a775,
    0xbdbe16b1, 0xbf092f9d, 0x3f24e7ea, 0x3f1ddd16, 0x3efe1c9d,
    0x3f00ed69, 0x3da2b70c, 0x3f0693ce, 0xbe70069a, 0x3e0e0a76,
    0x3eabfaa3, 0x3e715ea2, 0xbf06b50a, 0xbe42b75b, 0xbe0cdbd0,
    0x3f0b5268, 0x3f23cca6, 0xbf166679, 0xbdf65eeb, 0x3f14573b,
    0xbddf3cca, 0x3f27b688, 0xbf243d55, 0xbe3498f1, 0x3cf36cba,
    0xbc9d6060, 0xbc36e0dd, 0x3cd85575, 0xbce1b102, 0x3c36e0ab,
    0x3ce85a67, 0xbcd96370, 0xbc36e0cc, 0x00000000, 0x00000000,
    0x00000000, 0xbc913b4b, 0xbb57b8f2, 0xb9b991f5, 0x3c9d1988,
    0x3c8f97e9, 0xbbdbd521, 0xbcc09441, 0xbbcc176c, 0xbc52500a,
    0xbc0daa6d, 0xba806306, 0xbc0fdc15, 0xba8ca623, 0x3ca5edd0,
    0x3c7261cc, 0xbcc1572b, 0x3b05c50c, 0xbc1640c2, 0x3d2311ab,
    0x3d01be71, 0x3c820076, 0xbcbdf71f, 0xbd0ab330, 0x3cbcb2dc,
    0x3c801956, 0x3cadfbb6, 0xbbd920c4, 0x35d938f0, 0x376721a8,
    0xb8913c9e, 0xb81b336a, 0x38cc02f2, 0x3924856e, 0xbb9524dc,
    0xba814554, 0x3bb57630, 0xbb88178f, 0x3b6a92ce, 0x3a167146,
    0xbba860fb, 0x3b58dfe2, 0x3aefc429, 0x00000000, 0x00000000,
    0x00000000, 0x376883b7, 0x3506c5d4, 0x320ea778, 0x379e18e2,
    0x37b82afa, 0x369a515d, 0x37c4124b, 0x35dcd11a, 0x36e70fa8,
    0x364cd038, 0x3479a9f7, 0x36ac1dcc, 0x33f317bc, 0x37994f7e,
    0x37550a1b, 0x38011618, 0x3688445e, 0x36db926b, 0x3891060f,
    0x3848a117, 0x37ddbbf2, 0x37b935a3, 0x384f84ee, 0x37cb8c9d,
    0x37f8c89c, 0x37d9b1ba, 0x36d4317c, 0x2f0fc060, 0x2f2ebd41,
    0x2faded06, 0x2f32f796, 0x3030f409, 0x310b9c65, 0x35a67292,
    0x3531558a, 0x3600cfbc, 0x357f8a72, 0x3540f25b, 0x33b14db9,
    0x35b7afee, 0x358acf96, 0x344b63a2, 0x00000000, 0x00000000,
    0x00000000, 0x3f3a9fbd, 0x3f7f3b98, 0x3f800000, 0x3f1c3a8f,
};
static const float sparse_predicts[] = {
    -0.145732179f, 0.108374208f, 0.38333264f, 0.725201905f
};
