/* controller_peer.h - blending a matrix for each character, as engines have
   it: what controller.c compares with. */
enum { PEER_LAYERS = 3, PEER_EXPERTS = 8 };

/* Experts' biases (E,out) and weights (E,in,out), layer by layer. */
typedef struct peer_net {
    int width[PEER_LAYERS + 1];
    const float *bias[PEER_LAYERS], *weight[PEER_LAYERS];
    float *room;                 /* a layer's blended matrix, at least       */
} peer_net;

/* y (n,out) for x (n,in) and p (n,E): each case with matrices of its own, which
   sgemv blends, too, or a loop in one pass */
void peer_predict(const peer_net *net, int one_pass, const float *x,
                  const float *p, int n, float *y);

/* A sum of all numbers, as fast as this machine reads them. */
float peer_read(const float *at, long count);
