/* page.js - the page around moe.h: controls, a tour, and drawing.  All the
   learning is in page.c; what it exports is in `moe` below. */
'use strict';
const $ = id => document.getElementById(id);
const bytes = Uint8Array.from(atob($('wasm').textContent),
                              c => c.charCodeAt(0));
const moe = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
const SIDE = moe.page_side(), CELLS = SIDE * SIDE, MOST_EXPERTS = 8;
const OWN = 4, SILENT = 0.01;           /* of the mean proportions */
const floats = (at, n) => new Float32Array(moe.memory.buffer, at, n);
const x = floats(moe.page_x(), 2 * 4096), d = floats(moe.page_d(), 4096);
const said = floats(moe.page_said(), 6 + 2 * MOST_EXPERTS);
const proportion = floats(moe.page_p(), CELLS);
const outputs = floats(moe.page_o(), MOST_EXPERTS * CELLS);
const best = new Uint8Array(moe.memory.buffer, moe.page_best(), CELLS);

/* Okabe & Ito's colours, told apart by the colour-blind too; one per expert. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9',
                 '#d55e00', '#f0e442', '#888888'];
const RGB = COLOURS.map(c => [1, 3, 5].map(i => parseInt(c.substr(i, 2), 16)));

const DEFAULTS = {data: 0, points: 600, experts: 4, hidden: 0, top_k: 0,
                  loss: 0, sigma: 0.5, optimizer: 0, rate: 0.03, batch: 32,
                  balance_rate: 0, seed: 1, pace: 0};
const NEEDS_RESET = ['data', 'points', 'experts', 'hidden', 'top_k', 'seed'];

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
        '(1.1) is between, 70 % right at sigma 1. Mind that sigma = 0.5 ' +
        'makes the steps of (1.3) larger: at sigma 1 and the same rate it ' +
        'is no faster than (1.2).'},
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
        'none of them learns: below 70 % after 200 epochs. Press "Revive ' +
        'dead" (v), after 50 epochs and twice more: each dead expert ' +
        'becomes a copy of the busiest, and nearly all come out right.'},
    {title: 'Sparse gating, balanced', set: {...SPIRALS, balance_rate: 0.01},
     story:
        'Two of eight straight experts run for a point, at a quarter of the ' +
        'work. Here balance_rate steers the choice towards even use: all ' +
        'eight live, 92 % right after 150 epochs. Set it to 0: four fall ' +
        'silent and 71 % are right. Balance is no law: with hidden units ' +
        '(try 4) this task learns better without it.'}
];

let state = {...DEFAULTS}, stop = 0, running = false, drawn = [];
let history = [], speed = 0, note = '';
let penClass = 1, frames = 0, frameRate = 0, since = 0;

/* ---- learning ----------------------------------------------------------- */

function tune() {
    moe.page_tune(state.loss, state.sigma, state.optimizer, state.rate,
                  state.batch, state.balance_rate);
}

function sentence() {
    const text = new Uint8Array(moe.memory.buffer, moe.page_why(), 200);
    return String.fromCharCode(...text.subarray(0, text.indexOf(0)));
}

function reset() {
    if (state.data === OWN) {
        drawn.forEach((p, i) => {
            [x[2 * i], x[2 * i + 1], d[i]] = p;
        });
        moe.page_own(drawn.length);
    } else {
        moe.page_make(state.data, state.points, state.seed);
    }
    state.top_k = Math.min(state.top_k, state.experts);
    note = moe.page_open(state.experts, state.hidden, state.top_k, state.seed)
         ? sentence() : '';
    tune();
    history = [];
    speed = 0;
    drawPoints();
    look();
}

const pointCount = () => state.data === OWN ? drawn.length : state.points;

function look() {
    if (pointCount() > 1 && moe.page_look() === 0)
        history.push(said[2]);
}

function train(epochs) {
    if (pointCount() < 2)
        return false;
    const status = moe.page_train(epochs);
    if (status) {
        note = sentence();
        setRunning(false);
        return false;
    }
    history.push(said[2]);
    if (history.length > 2000)              /* every other point is enough */
        history = history.filter((_, i) => i % 2 === 0);
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
    if (epochs)
        speed += (1000 * epochs / (now - start) - speed) / (speed ? 20 : 1);
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

/* Where output of expert i is 0.5: marching squares over all cells. */
function traceExpert(i) {
    const size = plane.width / SIDE, at = i * CELLS;
    const edge = (a, b, ax, ay, bx, by) => {
        const va = outputs[at + a], vb = outputs[at + b];
        if (va < 0 || vb < 0 || (va < 0.5) === (vb < 0.5))
            return null;
        const t = (0.5 - va) / (vb - va);
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

/* On a canvas of their own, drawn once: thousands cost nothing by frame. */
const dots = document.createElement('canvas');
dots.width = dots.height = plane.width;

function drawPoints() {
    const pen = dots.getContext('2d');
    pen.clearRect(0, 0, dots.width, dots.height);
    const half = plane.width / 2, n = pointCount();
    const r = n > 1200 ? 2.6 : 3.8;
    for (let c = 0; c < 2; c++) {
        pen.beginPath();
        for (let i = 0; i < n; i++) {
            if ((d[i] > 0.5) !== (c === 1))
                continue;
            const u = half * (1 + x[2 * i]), v = half * (1 - x[2 * i + 1]);
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

function axis(canvas, top) {
    const g = canvas.getContext('2d'), w = canvas.width, h = canvas.height;
    g.clearRect(0, 0, w, h);
    g.fillStyle = g.strokeStyle = getComputedStyle(document.body).color;
    g.font = '14px system-ui, sans-serif';
    g.lineWidth = 1;
    g.fillText(top, 4, 18);
    g.fillText('0', 4, h - 22);
    g.strokeRect(46, 6, w - 52, h - 28);
    return g;
}

function drawCurve() {
    const canvas = $('curve'), g = axis(canvas, '0.3');
    const w = canvas.width - 52, h = canvas.height - 28;
    g.fillText('epoch ' + said[0], canvas.width - 110, canvas.height - 5);
    g.beginPath();
    history.forEach((value, i) => g.lineTo(
        46 + w * i / Math.max(history.length - 1, 1),
        6 + h * (1 - Math.min(value, 0.3) / 0.3)));
    g.lineWidth = 2.5;
    g.stroke();
}

function drawUsage() {
    const canvas = $('usage'), g = axis(canvas, '100%');
    const w = (canvas.width - 60) / state.experts, h = canvas.height - 28;
    for (let i = 0; i < state.experts; i++) {
        const left = 50 + w * i;
        g.fillStyle = COLOURS[i];
        g.fillRect(left + 2, 6 + h * (1 - said[6 + i]), w - 4,
                   h * said[6 + i]);
        g.fillStyle = g.strokeStyle;
        g.textAlign = 'center';
        g.fillText(said[6 + i] < SILENT ? `(${i + 1})` : `${i + 1}`,
                   left + w / 2, canvas.height - 5);
    }
    g.textAlign = 'left';
}

function drawRead() {
    const speedText = speed ? `${Math.round(speed)} epochs/s of training`
                            : 'not started';
    const silent = said.subarray(6, 6 + state.experts)
        .filter(share => share < SILENT).length;
    $('read').textContent = note ||
        `Epoch ${said[0]}: ${(100 * said[3]).toFixed(1)} % right, squared ` +
        `error ${said[2].toFixed(3)}, loss ${said[1].toFixed(3)}; ` +
        `${silent} silent. ${speedText}` +
        (running && frameRate ? `, ${frameRate} frames/s.` : '.');
}

function draw() {
    moe.page_map();
    drawBackground();
    pen.drawImage(dots, 0, 0);
    drawExperts();
    if (running && frames % 4)          /* these may lag a little */
        return;
    drawCurve();
    drawUsage();
    drawRead();
}

function frame(now) {
    if (!running)
        return;
    frames++;
    if (now - since > 1000) {
        frameRate = Math.round(1000 * frames / (now - since));
        frames = 0;
        since = now;
    }
    slice();
    draw();
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
    drawRead();
}

function show() {
    for (const key in DEFAULTS)
        if (key === 'loss')
            document.querySelector(
                `[name=loss][value="${state.loss}"]`).checked = true;
        else
            $(key).value = state[key];
    $('hint').hidden = state.data !== OWN;
    $('title').textContent = `${stop + 1}. ${TOUR[stop].title}`;
    $('story').textContent = TOUR[stop].story;
    [...$('stops').children].forEach((b, i) =>
        b.classList.toggle('here', i === stop));
}

/* What differs from the defaults, and own points in percent. */
function write() {
    const words = [`stop=${stop + 1}`, `data=${state.data}`];
    for (const key in DEFAULTS)
        if (key !== 'data' && state[key] !== DEFAULTS[key])
            words.push(`${key}=${state[key]}`);
    if (state.data === OWN && drawn.length)
        words.push('own=' + drawn.slice(0, 300).map(p =>
            [Math.round(100 * p[0]), Math.round(100 * p[1]), p[2]].join(','))
            .join(';'));
    window.history.replaceState(null, '', '#' + words.join('&'));
}

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
    const cut = Math.min(high, Math.max(low, value));
    return control.step === 'any' || key === 'sigma' ? cut : Math.round(cut);
}

function read() {
    const words = new URLSearchParams(location.hash.slice(1));
    stop = Math.min(TOUR.length, Math.max(1, words.get('stop') | 0 || 1)) - 1;
    state = {...DEFAULTS};
    if ([...words.keys()].every(
        key => ['stop', 'epochs', 'frames'].includes(key)))
        Object.assign(state, TOUR[stop].set);
    for (const key in DEFAULTS)
        if (words.has(key))
            state[key] = within(key, words.get(key));
    drawn = (words.get('own') || '').split(';').filter(p => p).slice(0, 300)
        .map(p => p.split(',').map(Number))
        .filter(p => p.length === 3 && p.every(Number.isFinite))
        .map(p => [p[0] / 100, p[1] / 100, p[2] ? 1 : 0]);
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
    state[key] = within(key, value);
    if (NEEDS_RESET.includes(key))
        restart();
    tune();
    show();
    write();
    draw();
}

function act(what) {
    const before = note;
    what();
    look();
    if (note === before)
        note = '';
    draw();
}

function addPoint(event) {
    const box = plane.getBoundingClientRect();
    if (state.data !== OWN) {
        state.data = OWN;
        drawn = [];
    }
    const c = event.shiftKey ? 1 - penClass : penClass;
    if (drawn.length < 2000)
        drawn.push([2 * (event.clientX - box.left) / box.width - 1,
                    1 - 2 * (event.clientY - box.top) / box.height, c]);
    restart();
}

function choose(c) {
    penClass = c;
    $('pen').textContent = `Next point: class ${c}`;
}

const KEYS = {
    ' ': () => setRunning(!running), s: () => act(() => train(1)),
    r: restart, c: () => act(moe.page_collapse),
    v: () => act(moe.page_revive), '[': () => visit(stop - 1),
    ']': () => visit(stop + 1), 1: () => change('loss', 2),
    2: () => change('loss', 1), 3: () => change('loss', 0),
    0: () => choose(0), 9: () => choose(1)
};

function connect() {
    TOUR.forEach((_, i) => {
        const button = document.createElement('button');
        button.textContent = i + 1;
        button.title = TOUR[i].title;
        button.onclick = () => visit(i);
        $('stops').append(button);
    });
    for (const key in DEFAULTS)
        if (key !== 'loss')
            $(key).onchange = event => change(key, event.target.value);
    document.querySelectorAll('[name=loss]').forEach(radio => {
        radio.onchange = () => change('loss', radio.value);
    });
    const buttons = {run: ' ', step: 's', reset: 'r', collapse: 'c',
                     revive: 'v', back: '[', next: ']'};
    for (const id in buttons)
        $(id).onclick = KEYS[buttons[id]];
    document.onkeydown = event => {
        if (event.target.matches('input:not([type=radio]), select')
            || (event.key === ' ' && event.target.matches('button, input'))
            || event.ctrlKey || event.metaKey || event.altKey)
            return;
        if (KEYS[event.key]) {
            event.preventDefault();
            KEYS[event.key]();
        }
    };
    plane.onpointerdown = addPoint;
    $('pen').onclick = () => choose(1 - penClass);
    dark.onchange = draw;
    window.onhashchange = () => { read(); restart(); };
}

connect();
const words = read();
restart();
/* epochs=N in the address: so many at once, then stand still, with a hash that
   page.c as a program of any machine gives too. */
if (words.has('epochs')) {
    const first = said[1], start = performance.now();
    const epochs = Math.min(5000, words.get('epochs') | 0);
    for (let i = 0; i < epochs && train(1); i++) {}
    speed = 1000 * epochs / (performance.now() - start);
    moe.page_look();
    draw();
    document.body.dataset.result = `loss ${first.toFixed(4)} to ` +
        `${said[1].toFixed(4)}, hash ` +
        (moe.page_hash() >>> 0).toString(16).padStart(8, '0');
} else if (words.has('frames')) {           /* the mean work of a frame */
    const n = Math.min(600, words.get('frames') | 0);
    const start = performance.now();
    running = true;
    for (frames = 0; frames < n; frames++) {
        slice();
        draw();
        pen.getImageData(0, 0, 1, 1);       /* waits until it is drawn */
    }
    running = false;
    document.body.dataset.frame =
        ((performance.now() - start) / n).toFixed(1) + ' ms a frame, ' +
        said[0] + ' epochs';
} else if (!location.hash.includes('=')) {
    setRunning(true);
}
