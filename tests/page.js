/* page.js - what a visitor does, after the page's own script in a browser; the
   outcome is left in the document, a line each. */
'use strict';
const outcome = [];

function check(what, ok) {
    outcome.push((ok ? 'passed: ' : 'failed: ') + what);
}

function press(key, target = document.body) {
    target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
}

function point(type, u, v, more = {}) {
    const box = plane.getBoundingClientRect();
    plane.dispatchEvent(new PointerEvent(type, {
        clientX: box.left + box.width * (1 + u) / 2,
        clientY: box.top + box.height * (1 - v) / 2, buttons: 1, ...more}));
}

/* The state that an address gives, and its hash after some epochs. */
function after(address, epochs) {
    history.length = 0;
    window.history.replaceState(null, '', address);
    read();
    restart();
    if (epochs)
        train(epochs);
    return moe.page_hash();
}

/* Each stop of the tour comes out as its story says. */
function tour() {
    const right = (number, epochs, changes = {}) => {
        visit(number - 1);
        setRunning(false);
        for (const key in changes)
            change(key, changes[key]);
        train(epochs);
        look();
        return said[3];
    };
    const silent = () => said.subarray(6, 6 + state.experts)
        .filter(share => share < SILENT).length;
    const near = (a, b) => Math.abs(a - b) < 0.015;

    check('stop 1: one expert, about half right',
          Math.abs(right(1, 200) - 0.5) < 0.1);
    check('stop 2: (1.2) about half right', Math.abs(right(2, 100) - .5) < .1);
    check('stop 2: (1.3) 93 % right', near(right(2, 100, {loss: 0}), 0.93));
    check('stop 2: (1.1) 70 % right', near(right(2, 100, {loss: 2}), 0.70));
    check('stop 3: 97 % right', near(right(3, 100), 0.97));
    right(4, 1200);
    check('stop 4: six are silent', silent() === 6);
    check('stop 5: below 70 % right', right(5, 200) < 0.7);
    right(5, 50);
    for (let i = 0; i < 3; i++) {
        press('v');
        train(50);
    }
    look();
    check('stop 5: revived, nearly all right', said[3] > 0.95);
    check('stop 6: 92 % right', near(right(6, 150), 0.92) && silent() === 0);
    check('stop 6: without balancing 71 % right',
          near(right(6, 150, {balance_rate: 0}), 0.71) && silent() === 4);
}

function controls() {
    visit(0);
    check('a visit runs', running);
    press(' ');
    check('space pauses', !running);
    press('S');
    check('S is a step', said[0] === 1);
    press('2');
    check('2 is loss (1.2), and learning goes on',
          state.loss === 1 && said[0] === 1);
    press('s');
    check('after another step', said[0] === 2);
    press(' ', document.querySelector('[name=loss]'));
    check('space runs with a radio button focused', running);
    press(' ');
    press(']');
    check('] is the next stop', stop === 1 && location.hash.includes('stop=2'));
    setRunning(false);
    visit(3);
    setRunning(false);
    train(200);
    const before = moe.page_hash();
    press('v');
    check('where none is silent none is revived',
          moe.page_hash() === before);
    change('points', 601);
    change('data', 1);
    check('an even number of points', count === 600 && state.points === 601);
}

function own() {
    visit(0);
    setRunning(false);
    point('pointerdown', 0.5, 0.5);
    check('a touch draws nothing before it is asked for', count === 600);
    $('draw').click();
    check('a plane of one\'s own is empty', count === 0);
    point('pointerdown', -0.5, 0.5);
    for (let u = -0.5; u < 0.5; u += 0.02)
        point('pointermove', u, 0.5);
    point('pointerup', 0.5, 0.5, {buttons: 0});
    check('dragging draws a row', count > 10 && count < 20);
    point('pointerdown', 0, 0, {buttons: 2});
    check('the other button does not', count < 20);
    press('0');
    point('pointerdown', 0, -0.333);
    train(20);
    press('ArrowLeft', plane);
    press('Enter', plane);
    check('learning goes on with a point more', moe.page_train(1) === 0
          && drawn[count - 1][0] === -0.05 && drawn[count - 1][2] === 0);
    press('u');
    check('u takes it back', drawn[count - 1][1] === -0.33);
    while (count < 500 && drawn.length < 501)
        addPoint(Math.sin(count), Math.cos(count), count % 2);
    addPoint(0, 0, 1);
    check('500 are the most', count === 500);
    write();
    const points = JSON.stringify(drawn), address = location.hash;
    const hash = after(address, 20);
    check('the address holds them all',
          JSON.stringify(drawn) === points && hash === after(address, 20));
}

function hostile() {
    after('#data=4&own=1e300,0,1;-1e300,NaN,1;1,2;50,-50,7', 0);
    check('points outside come to the edge',
          JSON.stringify(drawn) === '[[1,0,1],[0.5,-0.5,1]]');
    check('and learn', train(5) && Number.isFinite(said[1]));
    after('#data=9&experts=1e9&hidden=-4&rate=x&sigma=0&seed=-1&loss=7', 0);
    check('numbers outside are cut', state.experts === 8 && state.hidden === 0
          && state.rate === 0.03 && state.data === 0 && state.loss === 0);
    check('and learn too', train(5) && Number.isFinite(said[1]));
    change('data', OWN);
    check('without points the read-out asks for some', count === 0
          && $('read').textContent.includes('two points') && said[0] === 0);
    addPoint(0.1, 0.1, 1);
    addPoint(-0.1, -0.1, 0);
    change('pace', 1);
    for (let i = 0; i < 500; i++)
        turn();
    check('a tiny task has a speed',
          said[0] === 500 && Number.isFinite(speed));
}

for (const part of [controls, own, hostile, tour])
    try {
        part();
    } catch (error) {
        check(`${part.name}: ${error}`, false);
    }
document.body.dataset.outcome = outcome.join('; ');
