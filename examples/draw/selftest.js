// At /?selftest the page draws by itself, as a hand with a mouse, a finger and keys would, and writes
// down what came of it, as JSON in the element `selftest`. At /?show=7 it draws that character.

const question = new URLSearchParams(location.search);
const errors = [];
addEventListener('error', event => errors.push(event.message));
addEventListener('unhandledrejection', event => errors.push(String(event.reason)));
const consoleError = console.error;
console.error = (...what) => {
  errors.push(what.join(' '));
  consoleError(...what);
};

/** Strokes in a square of 224 pixels. */
const CHARACTERS = {
  7: [[[58, 52], [168, 50], [100, 186]]],
  T: [[[48, 52], [176, 52]], [[112, 52], [112, 184]]],
  e: [[[66, 122], [170, 118], ...arc([112, 114], [58, 52], 0, 325)]],
};

/** Points on an ellipse, against the clock from the right. */
function arc([x, y], [a, b], from, to) {
  const angles = Array.from({ length: 32 }, (_, i) => (from + (to - from) * i / 31) * Math.PI / 180);
  return angles.map(angle => [x + a * Math.cos(angle), y - b * Math.sin(angle)]);
}

async function until(is, what) {
  for (let i = 0; i < 1600; i++) {
    if (is()) return;
    await pause(25);
  }
  throw new Error(`waited in vain for ${what}`);
}

function point(kind, [x, y], pointerType) {
  const frame = $('pad').getBoundingClientRect();
  const scale = frame.width / 224;
  const place = { clientX: frame.left + x * scale, clientY: frame.top + y * scale };
  const more = { pointerId: 7, pointerType, isPrimary: true, button: kind === 'pointermove' ? -1 : 0, buttons: 1 };
  $('pad').dispatchEvent(new PointerEvent(kind, { bubbles: true, cancelable: true, ...place, ...more }));
}

/** Draws a character in small steps, a frame apart. */
async function draw(name, pointerType = 'mouse') {
  for (const stroke of CHARACTERS[name]) {
    point('pointerdown', stroke[0], pointerType);
    for (let i = 1; i < stroke.length; i++) {
      const [from, to] = [stroke[i - 1], stroke[i]];
      const parts = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / 12);
      for (let k = 1; k <= parts; k++) {
        point('pointermove', [0, 1].map(j => from[j] + (to[j] - from[j]) * k / parts), pointerType);
        await pause(16);
      }
    }
    point('pointerup', stroke.at(-1), pointerType);
  }
  await until(settled, `the answer to ${name}`);
}

function key(kind, name, repeat = false) {
  $('pad').dispatchEvent(new KeyboardEvent(kind, { key: name, repeat, bubbles: true, cancelable: true }));
}

function press(name, times = 1) {
  for (let i = 0; i < times; i++) key('keydown', name, i > 0);
  key('keyup', name);
}

/** The first bar's class. */
const answer = () => document.querySelector('#bars b').textContent;
const widths = () => [...document.querySelectorAll('#bars i span')].map(bar => parseFloat(bar.style.width));

async function cleared(by) {
  by();
  await until(settled, 'the empty drawing');
  return answer() === '' && strokes.length === 0;
}

async function selftest() {
  const found = { answers: {}, bars: [], checks: {} };
  for (const [name, pointerType] of [['7', 'mouse'], ['T', 'touch'], ['e', 'pen']]) {
    await draw(name, pointerType);
    found.answers[name] = answer();
    found.bars.push(widths());
    found.checks[`${name} is cleared`] = await cleared(() => $('clear').click());
  }
  // By keys: an L, then undone.
  $('pad').focus();
  found.checks['the drawing area has the focus'] = document.activeElement === $('pad');
  press('ArrowUp', 10);
  press('ArrowLeft', 6);
  press(' ');
  press('ArrowDown', 20);
  press('ArrowRight', 14);
  press(' ');
  await until(settled, 'the answer to L');
  found.answers.L = answer();
  found.checks['Z undoes'] = await cleared(() => press('z'));
  press(' ');
  await until(settled, 'the answer to a dot');
  found.checks['a dot is drawn'] = strokes.length === 1 && answer() !== '';
  const before = [pen.x, pen.y];
  key('keydown', 'ArrowUp');
  press('ArrowRight', 3);
  key('keyup', 'ArrowUp');
  const aslant = strokes[0].at(-1);
  found.checks['two arrows go aslant'] = aslant[0] === before[0] + 18 && aslant[1] === before[1] - 24;
  await until(settled, 'the answer to a line');
  found.checks['C clears'] = await cleared(() => press('c'));
  // A map is shown large, by click and by key.
  await draw('7');
  tiles[1][3].click();
  found.checks['a click enlarges'] = $('large-text').textContent.includes(', channel 3');
  tiles[1][3].dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
  found.checks['an arrow goes on'] = $('large-text').textContent.includes(', channel 4');
  const pixels = $('worth').getContext('2d').getImageData(0, 0, 28, 28).data;
  found.checks['pixels are worth something'] = new Set(pixels).size > 8;
  return found;
}

addEventListener('load', async () => {
  const name = question.get('show');
  if (name in CHARACTERS) await draw(name);
  if (!question.has('selftest')) return;
  const found = await selftest().catch(error => ({ failed: error.message }));
  const place = make('pre', document.body, JSON.stringify({ ...found, errors }));
  place.id = 'selftest';
  place.hidden = true;
});
