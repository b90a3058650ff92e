/* page.js - the page around moe.h: controls, a tour, and drawing.  All the
   learning is in page.c; what it exports is in `moe` below. */
'use strict';
const $ = id => document.getElementById(id);

/* ---- unpacking: RFC 1951, at once, which a browser's own stream is not --- */

/* Symbols by the length of their code, then by their number. */
function codeOf(lengths) {
    const code = [];
    for (let length = 1; length < 16; length++)
        code[length] = [...lengths.keys()].filter(s => lengths[s] === length);
    return code;
}

/* All of a gzip file that has no name in its head of 10 bytes. */
function unzip(file) {
    const out = [];
    let bit = 80;
    const take = n => {
        let value = 0;
        for (let i = 0; i < n; i++, bit++)
            value |= (file[bit >> 3] >> (bit & 7) & 1) << i;
        return value;
    };
    const symbol = code => {            /* those of a length are in a row */
        for (let length = 1, at = 0; length < 16; length++) {
            at = 2 * at + take(1);
            if (at < code[length].length)
                return code[length][at];
            at -= code[length].length;
        }
        throw new Error('the page is damaged');
    };
    const copied = s => s < 265 ? s - 254 : s === 285 ? 258
        : (4 + (s - 261 & 3) << (s - 261 >> 2)) + 3 + take(s - 261 >> 2);
    const back = s => s < 4 ? s + 1
        : (2 + (s & 1) << (s >> 1) - 1) + 1 + take((s >> 1) - 1);

    for (let last = 0; !last;) {
        last = take(1);
        const [words, distances] = codesOf(take(2), take, symbol);
        for (let s = symbol(words); s !== 256; s = symbol(words)) {
            if (s < 256) {
                out.push(s);
                continue;
            }
            const n = copied(s), far = back(symbol(distances));
            for (let i = 0; i < n; i++)
                out.push(out[out.length - far]);
        }
    }
    return Uint8Array.from(out);
}

/* The two codes of a block: fixed, or told at its head by lengths that have a
   code of their own. */
function codesOf(kind, take, symbol) {
    const fixed = [[144, 8], [112, 9], [24, 7], [8, 8], [30, 5]];
    if (kind === 1) {
        const lengths = fixed.flatMap(([n, of]) => Array(n).fill(of));
        return [codeOf(lengths.slice(0, 288)), codeOf(lengths.slice(288))];
    }
    if (kind !== 2)                     /* gzip stores nothing that it packs */
        throw new Error('the page is damaged');
    const words = 257 + take(5), all = words + 1 + take(5), told = 4 + take(4);
    const small = Array(19).fill(0), lengths = [];
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        .slice(0, told).forEach(s => { small[s] = take(3); });
    const code = codeOf(small);
    while (lengths.length < all) {
        const s = symbol(code);
        const n = s < 16 ? 1 : s === 16 ? 3 + take(2)
                : s === 17 ? 3 + take(3) : 11 + take(7);
        lengths.push(...Array(n).fill(
            s < 16 ? s : s === 16 ? lengths[lengths.length - 1] : 0));
    }
    return [codeOf(lengths.slice(0, words)), codeOf(lengths.slice(words))];
}

/* ---- moe.h --------------------------------------------------------------- */

const packed = Uint8Array.from(atob($('wasm').textContent),
                               c => c.charCodeAt(0));
const moe = new WebAssembly.Instance(
    new WebAssembly.Module(unzip(packed))).exports;
const SIDE = moe.page_side(), CELLS = SIDE * SIDE, STRIP = 8 * SIDE;
const MOST_EXPERTS = 8;
const OWN = 4, OWN_CURVE = 7, MOST_OWN = 500;
const SILENT = 0.01;                            /* of the mean proportions */
const floats = (at, n) => new Float32Array(moe.memory.buffer, at, n);
const x = floats(moe.page_x(), 2 * 4096), d = floats(moe.page_d(), 4096);
const said = floats(moe.page_said(), 7 + 2 * MOST_EXPERTS);
const proportion = floats(moe.page_p(), CELLS);
const outputs = floats(moe.page_o(), MOST_EXPERTS * CELLS);
const curves = floats(moe.page_curve(), (2 + 2 * MOST_EXPERTS) * SIDE);
const best = new Uint8Array(moe.memory.buffer, moe.page_best(), CELLS);

/* Okabe & Ito's colours, told apart by the colour-blind too; one per expert. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9',
                 '#d55e00', '#f0e442', '#888888'];
const RGB = COLOURS.map(c => [1, 3, 5].map(i => parseInt(c.substr(i, 2), 16)));

const DEFAULTS = {data: 0, points: 600, experts: 4, hidden: 0, top_k: 0,
                  loss: 0, sigma: 0.5, optimizer: 0, rate: 0.03, batch: 32,
                  balance_rate: 0, seed: 1, pace: 0, restarts: 1};
const NEEDS_RESET = ['data', 'points', 'experts', 'hidden', 'top_k', 'seed',
                     'restarts'];

/* The numbers in the stories are what these settings give with seed 1. */
const BATCH = {optimizer: 1, rate: 5, batch: -1, pace: 1};
const SPIRALS = {data: 1, points: 1000, experts: 8, top_k: 2, sigma: 0.3,
                 rate: 0.02, pace: 1};
const TOUR = [
    {title: 'One expert averages', set: {experts: 1, pace: 1}, story:
        'Vowels by their first two formants (F1 right, F2 up): black dots ' +
        'are heed and hud, white ones hid and hod. One expert is one line, ' +
        'and no line can tell them apart: it settles for an average and ' +
        'gets about half of them right, however long it runs.'},
    {title: 'Three losses', set: {...BATCH, loss: 1}, story:
        'Four lines and a gate, loss (1.2): after 100 epochs still about ' +
        'half right. Reset, choose (1.3): 93 % by then, for its ' +
        'best-fitting expert moves fastest; in (1.2) it moves slowest. ' +
        '(1.1) is between, 70 % right. Mind that sigma = 0.5 makes the ' +
        'steps of (1.3) larger: at sigma 1 and the same rate it is no ' +
        'faster than (1.2).'},
    {title: 'Competition splits the task',
     set: {data: 3, points: 800, pace: 1}, story:
        'The border of the classes has four straight pieces. Under (1.3) ' +
        'the experts compete for the points, and the gate (the background) ' +
        'learns who is best where. After 100 epochs three lines share the ' +
        'plane, 97 % are right, and the fourth expert has nearly nothing.'},
    {title: 'Experts fall silent', set: {...BATCH, experts: 8, sigma: 1},
     story:
        'Eight experts for a task that needs two, trained as in 1991 on all ' +
        'cases at once. They head for one average line, then part; within ' +
        '1,200 epochs six of them fall silent and two have half the plane ' +
        'each. The paper too saw all but two or three end near zero.'},
    {title: 'A gate collapses and is revived',
     set: {...SPIRALS, hidden: 4}, collapsed: true, story:
        'Only 2 of 8 experts run for a point, and a step that was much too ' +
        'large has left the gate so fond of two that no other ever runs, so ' +
        'none of them learns: below 70 % after 200 epochs. Press "Revive" ' +
        '(v), after 50 epochs and twice more: each dead expert ' +
        'becomes a copy of the busiest, and nearly all come out right.'},
    {title: 'Sparse gating, balanced', set: {...SPIRALS, balance_rate: 0.01},
     story:
        'Two of eight straight experts run for a point, at a quarter of the ' +
        'work. Here balance_rate steers the choice towards even use: all ' +
        'eight live, 92 % right after 150 epochs. Set it to 0: four fall ' +
        'silent and 71 % are right. Balance is no law: with hidden units ' +
        '(try 4) this task learns better without it.'},
    {title: 'How sure', set: {data: 6, experts: 5, sigma: 0, pace: 1}, story:
        'Regression: x across, d up, five straight experts. Sigma is ' +
        'learnt: within 300 epochs it falls from 1 to 0.07, and the loss, ' +
        'which has its logarithm, to -1.0. Where one x has three d the ' +
        'blend y (dashes) is none of them and its deviation (band) is ' +
        'wide, but the density (shade) has all three. Set Restarts to 5: ' +
        'the best of five seeds comes to -1.3.'}
];

/* What is told where data are not those of the tour's stop. */
const HOW = 'Click or drag in the plane, also while it learns; or, with the ' +
    'plane focused, arrows and Enter. ';
const TASKS = [
    ['Vowels', 'Drawn around the means of two formants that Peterson & ' +
        'Barney published in 1952: black dots are heed and hud, white ones ' +
        'hid and hod.'],
    ['Two spirals', 'One spiral of each class. Straight experts need ' +
        'company; with hidden units fewer will do.'],
    ['Checkerboard', 'Nine squares, the classes by turns.'],
    ['Piecewise lines', 'The border of the classes has four straight pieces.'],
    ['Your own points', HOW + 'Shift, or p, gives a point of the other class.'],
    ['A bent line', 'Three straight pieces, the last of them three times as ' +
        'noisy. With sigma 0 it is learnt; the band shows where d is less ' +
        'certain.'],
    ['Three branches', 'In the middle one x has three d. Their mean is none ' +
        'of them, but each branch can have an expert.'],
    ['Your own curve', HOW + 'Across is x, up is d; with sigma 0 it is learnt.']
];
const CLASS_LEGEND = '<span class="dot one"></span>class 1 ' +
    '<span class="dot zero"></span>class 0 &middot; background: the expert ' +
    'that the gate prefers &middot; lines: where an expert says 0.5, as wide ' +
    'as it is used';
const CURVE_LEGEND = '<span class="dot one"></span>d against x &middot; ' +
    'shade: density of d &middot; colours: what the experts say, as wide as ' +
    'their proportion there &middot; dashes and band: y and one deviation';

let state = {...DEFAULTS}, stop = 0, running = false, note = '';
let winner = 0;                         /* of the seeds that were tried */
let drawn = [], penClass = 1, cursor = [0, 0];      /* points of one's own */
let count = 0, history = [];            /* points; [epoch, loss, error] */
let speed = 0, done = 0, spent = 0;     /* epochs and ms since it was told */
let mapped = 0, frames = 0, frameRate = 0, since = 0;

/* ---- learning ----------------------------------------------------------- */

function tune() {
    moe.page_tune(state.loss, state.sigma, state.optimizer, state.rate,
                  state.batch, state.balance_rate);
}

const FAILED = 'The weights are no longer finite numbers: Reset, with a ' +
    'smaller rate.';
const isOwn = () => state.data === OWN || state.data === OWN_CURVE;
const isCurve = () => state.data > OWN;

/* The points to where moe.h reads them. */
function give() {
    if (isOwn()) {
        drawn.forEach((p, i) => {
            if (isCurve())
                [x[i], d[i]] = p;
            else
                [x[2 * i], x[2 * i + 1], d[i]] = p;
        });
        moe.page_own(state.data, drawn.length);
        count = drawn.length;
    } else {
        count = moe.page_make(state.data, state.points, state.seed);
    }
    drawPoints();
}

function reset() {
    give();
    state.top_k = Math.min(state.top_k, state.experts);
    note = moe.page_open(state.experts, state.hidden, state.top_k, state.seed)
         ? FAILED : '';
    tune();
    winner = state.restarts > 1 && count > 1 ? moe.page_try(state.restarts)
           : state.seed;
    history = [];
    speed = done = spent = 0;
    look();
}

function remember() {
    history.push([said[0], said[1], said[2]]);
    if (history.length > 2000)              /* every other one is enough */
        history = history.filter((_, i) => i % 2 === 0);
}

function look() {
    if (count < 2)
        said.fill(0);
    else if (moe.page_look() === 0)
        remember();
}

function train(epochs) {
    if (count < 2)
        return false;
    if (moe.page_train(epochs)) {
        note = FAILED;
        setRunning(false);
        return false;
    }
    remember();
    return true;
}

/* Slices of some 5 ms leave the rest of a frame to drawing; at full pace calls
   of a millisecond each, for each begins and ends with a look at the data. */
function slice() {
    const start = performance.now();
    const many = state.pace ? 1 : Math.max(1, Math.floor(speed / 1000));
    let epochs = 0, now = start;
    while (now - start < 5 && !(state.pace && epochs) && train(many)) {
        epochs += many;
        now = performance.now();
    }
    done += epochs;
    spent += now - start;
    if (spent > 20) {
        speed = 1000 * done / spent;
        done = spent = 0;
    }
}

/* ---- drawing ------------------------------------------------------------ */

const plane = $('plane'), pen = plane.getContext('2d');
const small = document.createElement('canvas');
small.width = small.height = SIDE;
const image = new ImageData(SIDE, SIDE);
const dark = matchMedia('(prefers-color-scheme: dark)');

function drawBackground() {
    const base = dark.matches ? 32 : 255;
    for (let i = 0; i < CELLS; i++) {
        const colour = RGB[best[i]];
        const much = 0.12 + 0.4 * proportion[i];
        for (let k = 0; k < 3; k++)
            image.data[4 * i + k] = base + (colour[k] - base) * much;
        image.data[4 * i + 3] = 255;
    }
    small.getContext('2d').putImageData(image, 0, 0);
    pen.drawImage(small, 0, 0, plane.width, plane.height);
}

const logit = o => {
    const cut = Math.min(1 - 1e-7, Math.max(1e-7, o));
    return Math.log(cut / (1 - cut));
};

/* Where output of expert i is 0.5: marching squares over all cells, between
   which its logit, 0 there, is taken for straight. */
function traceExpert(i) {
    const size = plane.width / SIDE, at = i * CELLS;
    const edge = (a, b, ax, ay, bx, by) => {
        const va = outputs[at + a], vb = outputs[at + b];
        if (va < 0 || vb < 0 || (va < 0.5) === (vb < 0.5))
            return null;
        const t = logit(va) / (logit(va) - logit(vb));
        return [(ax + t * (bx - ax) + .5) * size,
                (ay + t * (by - ay) + .5) * size];
    };
    pen.beginPath();
    for (let v = 0; v + 1 < SIDE; v++)
        for (let u = 0; u + 1 < SIDE; u++) {
            const a = v * SIDE + u, c = a + SIDE;
            const above = (outputs[at + a] > 0.5) + (outputs[at + c] > 0.5)
                + (outputs[at + a + 1] > 0.5) + (outputs[at + c + 1] > 0.5);
            if (above % 4 === 0)                /* no corner differs */
                continue;
            const ends = [edge(a, a + 1, u, v, u + 1, v),
                          edge(a + 1, c + 1, u + 1, v, u + 1, v + 1),
                          edge(c, c + 1, u, v + 1, u + 1, v + 1),
                          edge(a, c, u, v, u, v + 1)].filter(e => e);
            for (let k = 0; k + 1 < ends.length; k += 2) {
                pen.moveTo(...ends[k]);
                pen.lineTo(...ends[k + 1]);
            }
        }
}

function drawExperts() {
    for (let i = 0; i < state.experts; i++) {
        const share = said[6 + i];
        if (share < SILENT)
            continue;
        traceExpert(i);
        pen.lineCap = 'round';
        pen.lineWidth = 4 + 7 * share;
        pen.strokeStyle = dark.matches ? '#fff' : '#000';
        pen.stroke();
        pen.lineWidth = 2 + 7 * share;
        pen.strokeStyle = COLOURS[i];
        pen.stroke();
    }
}

/* A regression.  Density as grey, by the root of its share of the largest. */
function drawDensity() {
    const base = dark.matches ? 32 : 255, ink = dark.matches ? 235 : 60;
    let most = -Infinity;
    for (let i = 0; i < CELLS; i++)
        most = Math.max(most, proportion[i]);
    for (let i = 0; i < CELLS; i++) {
        const much = 0.75 * Math.exp((proportion[i] - most) / 2);
        image.data.fill(base + (ink - base) * much, 4 * i, 4 * i + 3);
        image.data[4 * i + 3] = 255;
    }
    small.getContext('2d').putImageData(image, 0, 0);
    pen.drawImage(small, 0, 0, plane.width, plane.height);
}

const across = k => (k + .5) * plane.width / SIDE;
const up = v => plane.height * (1 - v) / 2;
const curveAt = (row, k) => curves[row * SIDE + k];

/* y and `times` deviations more; from the right to the left if back. */
function traceBlend(times, back) {
    for (let i = 0; i < SIDE; i++) {
        const k = back ? SIDE - 1 - i : i;
        pen.lineTo(across(k), up(curveAt(0, k) + times * curveAt(1, k)));
    }
}

function drawBand() {
    pen.beginPath();
    traceBlend(1, false);
    traceBlend(-1, true);
    pen.closePath();
    pen.fillStyle = dark.matches ? '#7cc4f030' : '#0060a028';
    pen.fill();
    pen.strokeStyle = dark.matches ? '#7cc4f0' : '#0060a0';
    pen.lineWidth = 1;
    pen.stroke();
}

/* o_i piece by piece, each as wide as p_i is there. */
function drawOutputs(i) {
    pen.lineCap = 'round';
    for (const [more, colour] of [[2, dark.matches ? '#fff' : '#000'],
                                  [0, COLOURS[i]]])
        for (let k = 0; k + 1 < SIDE; k++) {
            const p = curveAt(2 + state.experts + i, k);
            if (p < SILENT || curveAt(2 + state.experts + i, k + 1) === 0)
                continue;
            pen.beginPath();
            pen.moveTo(across(k), up(curveAt(2 + i, k)));
            pen.lineTo(across(k + 1), up(curveAt(2 + i, k + 1)));
            pen.lineWidth = 1 + more + 6 * p;
            pen.strokeStyle = colour;
            pen.stroke();
        }
}

function drawRegression() {
    drawDensity();
    drawBand();
    pen.drawImage(dots, 0, 0);
    for (let i = 0; i < state.experts; i++)
        drawOutputs(i);
    pen.beginPath();
    traceBlend(0, false);
    pen.setLineDash([12, 6]);
    pen.strokeStyle = dark.matches ? '#fff' : '#000';
    pen.lineWidth = 2;
    pen.stroke();
    pen.setLineDash([]);
}

/* On a canvas of their own, drawn once: thousands cost nothing by frame. */
const dots = document.createElement('canvas');
dots.width = dots.height = plane.width;

function drawPoints() {
    const pen = dots.getContext('2d');
    pen.clearRect(0, 0, dots.width, dots.height);
    const half = plane.width / 2;
    const r = isOwn() ? 5.5 : count > (isCurve() ? 200 : 1200) ? 2.6 : 3.8;
    for (let c = 0; c < 2; c++) {
        pen.beginPath();
        for (let i = 0; i < count; i++) {
            if ((isCurve() || d[i] > 0.5) !== (c === 1))
                continue;
            const [across, up] = isCurve() ? [x[i], d[i]]
                : [x[2 * i], x[2 * i + 1]];
            const u = half * (1 + across), v = half * (1 - up);
            if (c) {
                pen.moveTo(u + r, v);
                pen.arc(u, v, r, 0, 7);
            } else {
                pen.rect(u - r + .5, v - r + .5, 2 * r - 1, 2 * r - 1);
            }
        }
        pen.fillStyle = c ? '#000' : '#fff';
        pen.strokeStyle = c ? '#fff' : '#000';
        pen.lineWidth = 1;
        pen.fill();
        pen.stroke();
    }
}

/* Where the keyboard would place a point. */
function drawCursor() {
    if (!plane.matches(':focus-visible'))
        return;
    const half = plane.width / 2;
    const u = half * (1 + cursor[0]), v = half * (1 - cursor[1]);
    pen.lineWidth = 2;
    pen.strokeStyle = dark.matches ? '#fff' : '#000';
    pen.strokeRect(u - 9, v - 9, 18, 18);
}

/* A chart as fine as the screen, with its frame and the ends of its scale. */
function chart(canvas, high, low) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    canvas.width = w * devicePixelRatio;
    canvas.height = h * devicePixelRatio;
    const g = canvas.getContext('2d');
    g.scale(devicePixelRatio, devicePixelRatio);
    g.fillStyle = g.strokeStyle = getComputedStyle(document.body).color;
    g.font = '13px system-ui, sans-serif';
    g.textAlign = 'right';
    g.fillText(high, 46, 18);
    g.fillText(low, 46, h - 22);
    g.strokeRect(52, 8, w - 60, h - 30);
    return [g, 52, 8, w - 60, h - 30];
}

/* From the lowest, which a learnt sigma can take below 0, to the highest. */
function drawCurve() {
    const [g, left, top, w, h] = chart($('curve'), 'high', 'low');
    const ends = [1, 2].map(k => [
        history.reduce((least, entry) => Math.min(least, entry[k]), 0),
        history.reduce((most, entry) => Math.max(most, entry[k]), 1e-9)]);
    $('curve_caption').textContent = 'Loss (wide, ' +
        ends.map(([low, high]) => `${low.toPrecision(2)} to ` +
                 high.toPrecision(2)).join('), squared error (narrow, ') +
        `), ${said[0]} epochs`;
    for (let k = 1; k <= 2; k++) {
        const [low, high] = ends[k - 1];
        g.beginPath();
        for (const entry of history)
            g.lineTo(left + w * entry[0] / Math.max(said[0], 1),
                     top + h * (high - entry[k]) / (high - low));
        g.lineWidth = k === 1 ? 3 : 1.2;
        g.stroke();
    }
}

function drawUsage() {
    const share = said.slice(6, 6 + state.experts);
    const [g, left, top, width, h] = chart($('usage'), '100 %', '0');
    const w = width / state.experts;
    g.textAlign = 'center';
    share.forEach((part, i) => {
        g.fillStyle = COLOURS[i];
        g.fillRect(left + w * i + 2, top + h * (1 - part), w - 4, h * part);
        g.fillStyle = g.strokeStyle;
        g.fillText(part < SILENT ? `(${i + 1})` : `${i + 1}`,
                   left + w * (i + .5), top + h + 16);
    });
    $('usage').ariaLabel = 'Usage in percent: ' +
        Array.from(share, part => Math.round(100 * part)).join(', ');
}

function drawRead() {
    const silent = said.subarray(6, 6 + state.experts)
        .filter(share => share < SILENT).length;
    const rates = [speed ? `${Math.round(speed)} epochs/s of training` : '',
                   running && frameRate ? `${frameRate} frames/s` : '']
        .filter(text => text).join(', ');
    const first = isCurve() ? `sigma ${said[22].toFixed(3)}` +
                              (state.sigma || state.loss ? '' : ' (learnt)')
                : `${(100 * said[3]).toFixed(1)} % right`;
    const tried = winner === state.seed ? '' : `, seed ${winner}`;
    $('read').textContent = count < 2 ? 'Draw at least two points.' : note ||
        `Epoch ${said[0]}${tried}: ${first}, squared error ` +
        `${said[2].toFixed(3)}, loss ${said[1].toFixed(3)}; ` +
        `${silent} silent. ` + (rates && rates + '.');
}

function drawCharts() {
    drawCurve();
    drawUsage();
    drawRead();
}

/* The picture of a large mixture takes several frames of some 5 ms. */
function drawPlane(patience) {
    const start = performance.now();
    if (mapped === 0 && isCurve())
        moe.page_curves();
    while (mapped < CELLS && performance.now() - start < patience) {
        (isCurve() ? moe.page_density : moe.page_map)(mapped, STRIP);
        mapped += STRIP;
    }
    if (mapped < CELLS)
        return;
    mapped = 0;
    if (isCurve()) {
        drawRegression();
        drawCursor();
        return;
    }
    drawBackground();
    if (state.data === OWN) {           /* few points, which lines may hide */
        drawExperts();
        pen.drawImage(dots, 0, 0);
        drawCursor();
    } else {
        pen.drawImage(dots, 0, 0);
        drawExperts();
    }
}

/* All of what there is to see, now. */
function draw() {
    mapped = 0;
    drawPlane(Infinity);
    drawCharts();
}

function turn() {
    slice();
    drawPlane(5);
    if (++frames % 4 === 0)             /* these may lag a little */
        drawCharts();
}

function frame(now) {
    if (!running)
        return;
    if (now - since > 1000) {
        frameRate = Math.round(1000 * frames / (now - since));
        frames = 0;
        since = now;
    }
    turn();
    requestAnimationFrame(frame);
}

/* ---- state, tour, controls ---------------------------------------------- */

function setRunning(on) {
    if (on && !running) {
        since = performance.now();
        frames = frameRate = 0;
        requestAnimationFrame(frame);
    }
    running = on;
    $('run').textContent = on ? 'Pause' : 'Run';
    $('read').ariaLive = on ? 'off' : 'polite';
    drawCharts();
}

function show() {
    for (const key in DEFAULTS)
        if (key === 'loss')
            document.querySelector(
                `[name=loss][value="${state.loss}"]`).checked = true;
        else
            $(key).value = state[key];
    for (const id of ['pen', 'undo', 'clear'])
        $(id).hidden = !isOwn();
    $('pen').hidden ||= isCurve();
    $('draw').hidden = isOwn();
    plane.classList.toggle('drawing', isOwn());
    const [title, story] = TASKS[state.data];
    $('title').textContent = onTour() ? `${stop + 1}. ${TOUR[stop].title}`
                           : title;
    $('story').textContent = onTour() ? TOUR[stop].story : story;
    $('legend').innerHTML = isCurve() ? CURVE_LEGEND : CLASS_LEGEND;
    plane.ariaLabel = 'The plane: ' + $('legend').textContent;
    [...$('stops').children].forEach((b, i) =>
        b.classList.toggle('here', onTour() && i === stop));
}

/* Other data than those of the stop leave the tour; it goes on from there. */
const onTour = () => state.data === (TOUR[stop].set.data || 0);

/* On a narrow screen: which of tour, set and charts is there. */
function tab(name) {
    document.body.dataset.tab = name;
    for (const other of ['tour', 'set', 'charts'])
        $('tab_' + other).classList.toggle('here', other === name);
    drawCharts();
}

/* What differs from the defaults, and own points in percent. */
function write() {
    const words = [`stop=${stop + 1}`, `data=${state.data}`];
    for (const key in DEFAULTS)
        if (key !== 'data' && state[key] !== DEFAULTS[key])
            words.push(`${key}=${state[key]}`);
    if (isOwn() && drawn.length)
        words.push('own=' + drawn.map(p =>
            [Math.round(100 * p[0]), Math.round(100 * p[1]), p[2]].join(','))
            .join(';'));
    window.history.replaceState(null, '', '#' + words.join('&'));
}

/* Points stand on a grid of hundredths, as the address tells them. */
const inPlane = t => Math.round(100 * Math.min(1, Math.max(-1, t))) / 100;

/* Numbers from outside are kept within what the controls allow. */
function within(key, text) {
    const control = $(key), value = Number(text);
    if (text === '' || !Number.isFinite(value))
        return DEFAULTS[key];
    if (!control)
        return [0, 1, 2].includes(value) ? value : 0;
    if (control.options)
        return [...control.options].some(o => Number(o.value) === value)
             ? value : DEFAULTS[key];
    const low = Number(control.min), high = Number(control.max);
    const least = key === 'sigma' && value > 0 ? 0.05 : low;
    const cut = Math.min(high, Math.max(least, value));
    return control.step === 'any' || key === 'sigma' ? cut : Math.round(cut);
}

function read() {
    const words = new URLSearchParams(location.hash.slice(1));
    stop = Math.min(TOUR.length, Math.max(1, words.get('stop') | 0 || 1)) - 1;
    state = {...DEFAULTS};
    if ([...words.keys()].every(
        key => ['stop', 'epochs', 'frames', 'tab'].includes(key)))
        Object.assign(state, TOUR[stop].set);
    for (const key in DEFAULTS)
        if (words.has(key))
            state[key] = within(key, words.get(key));
    drawn = (words.get('own') || '').split(';').slice(0, MOST_OWN)
        .map(p => p.split(',').map(Number))
        .filter(p => p.length === 3 && p.every(Number.isFinite))
        .map(p => [inPlane(p[0] / 100), inPlane(p[1] / 100), p[2] ? 1 : 0]);
    return words;
}

function visit(number) {
    stop = (number + TOUR.length) % TOUR.length;
    setRunning(false);
    state = {...DEFAULTS, ...TOUR[stop].set};
    restart();
    setRunning(true);
}

function restart() {
    reset();
    if (TOUR[stop].collapsed && state.experts > 1) {
        moe.page_collapse();
        look();
    }
    show();
    write();
    draw();
}

function change(key, value) {
    note = '';
    state[key] = within(key, value);
    if (NEEDS_RESET.includes(key))
        restart();
    tune();
    show();
    write();
    draw();
}

function act(what) {
    note = '';
    what();
    look();
    draw();
}

/* ---- points of one's own: learning goes on with what there is ----------- */

function addPoint(u, v, c) {
    if (drawn.length >= MOST_OWN)
        return;
    cursor = [inPlane(u), inPlane(v)];
    drawn.push([...cursor, c]);
    act(give);
}

function undo() {
    drawn.pop();
    act(give);
    write();
}

/* Pressed, and moving some way on; the address is told at the end. */
function touch(event) {
    const box = plane.getBoundingClientRect();
    const u = 2 * (event.clientX - box.left) / box.width - 1;
    const v = 1 - 2 * (event.clientY - box.top) / box.height;
    if (!isOwn() || event.buttons !== 1
        || (event.type === 'pointermove'
            && Math.hypot(u - cursor[0], v - cursor[1]) < 0.06))
        return;
    addPoint(u, v, event.shiftKey ? 1 - penClass : penClass);
}

function move(right, up) {
    cursor = [inPlane(cursor[0] + 0.05 * right),
              inPlane(cursor[1] + 0.05 * up)];
    draw();
}

const PLANE_KEYS = {
    ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0),
    ArrowUp: () => move(0, 1), ArrowDown: () => move(0, -1),
    Enter: event => {
        addPoint(...cursor, event.shiftKey ? 1 - penClass : penClass);
        write();
    }
};

function choose(c) {
    penClass = c;
    $('pen').textContent = `Next point: class ${c}`;
}

const KEYS = {
    ' ': () => setRunning(!running), s: () => act(() => train(1)),
    r: restart, c: () => act(moe.page_collapse),
    v: () => act(moe.page_revive), '[': () => visit(stop - 1),
    ']': () => visit(stop + 1), b: () => change('loss', 2),
    e: () => change('loss', 1), m: () => change('loss', 0),
    p: () => choose(1 - penClass), u: () => isOwn() && undo()
};

function connect() {
    TOUR.forEach((_, i) => {
        const button = document.createElement('button');
        button.textContent = i + 1;
        button.title = `${TOUR[i].title} (key: ${i + 1})`;
        button.onclick = KEYS[i + 1] = () => visit(i);
        $('stops').append(button);
    });
    for (const key in DEFAULTS)
        if (key !== 'loss')
            $(key).onchange = event => change(key, event.target.value);
    document.querySelectorAll('[name=loss]').forEach(radio => {
        radio.onchange = () => change('loss', radio.value);
    });
    const buttons = {run: ' ', step: 's', reset: 'r', collapse: 'c',
                     revive: 'v', back: '[', next: ']', undo: 'u'};
    for (const id in buttons)
        $(id).onclick = KEYS[buttons[id]];
    document.onkeydown = event => {
        if (event.target.matches('select, input:not([type=radio])')
            || (event.key === ' ' && event.target.matches('button'))
            || event.ctrlKey || event.metaKey || event.altKey)
            return;
        const drawing = event.target === plane && isOwn();
        const does = (drawing && PLANE_KEYS[event.key])
                  || KEYS[event.key.toLowerCase()];
        if (does) {
            event.preventDefault();
            does(event);
        }
    };
    plane.onpointerdown = plane.onpointermove = touch;
    plane.onpointerup = plane.onpointerleave =
        () => isOwn() && write();
    plane.onfocus = plane.onblur = draw;
    $('draw').onclick = () => change('data', isCurve() ? OWN_CURVE : OWN);
    for (const name of ['tour', 'set', 'charts'])
        $('tab_' + name).onclick = () => tab(name);
    $('pen').onclick = () => choose(1 - penClass);
    $('clear').onclick = () => { drawn = []; restart(); };
    window.onresize = draw;
    dark.onchange = draw;
    window.onhashchange = () => { read(); restart(); };
}

connect();
const words = read();
restart();
tab(['set', 'charts'].find(name => name === words.get('tab')) || 'tour');
/* epochs=N in the address: so many at once, then stand still, with a hash that
   page.c as a program of any machine gives too. */
if (words.has('epochs')) {
    const first = said[1], start = performance.now();
    const epochs = Math.min(5000, Math.max(0, words.get('epochs') | 0));
    for (let now = start; said[0] < epochs && now - start < 5000;) {
        const last = now, many = Math.min(20, epochs - said[0]);
        if (!train(many))
            break;
        now = performance.now();                /* the least disturbed */
        speed = Math.max(speed, 1000 * many / (now - last));
    }
    moe.page_look();
    draw();
    document.body.dataset.result = `loss ${first.toFixed(4)} to ` +
        `${said[1].toFixed(4)}, hash ` +
        (moe.page_hash() >>> 0).toString(16).padStart(8, '0');
    document.body.dataset.speed = speed.toFixed(0);
} else if (words.has('frames')) {           /* the mean work of a frame */
    const n = Math.min(600, Math.max(1, words.get('frames') | 0));
    const start = performance.now();
    running = true;
    for (let i = 0; i < n; i++) {
        turn();
        pen.getImageData(0, 0, 1, 1);       /* waits until it is drawn */
    }
    running = false;
    document.body.dataset.frame =
        ((performance.now() - start) / n).toFixed(1);
} else if (!location.hash.includes('=')) {
    setRunning(true);
}
