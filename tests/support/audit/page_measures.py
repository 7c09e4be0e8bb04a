"""What is measured of a page in a browser: boxes, words and colours. Each is a script that returns what is wrong, in words."""

from typing import Final

__all__ = ["BROKEN_WORDS", "CUT_OFF", "LOW_CONTRAST", "OVERLAPS"]

_COMMON: Final = """
const seen = (element) => element.checkVisibility({visibilityProperty: true}) && !element.closest('.unseen')
  && element.getClientRects().length > 0;
const isPicture = (element) => element.closest('svg') !== null;
const called = (element) => `<${element.tagName.toLowerCase()} class="${element.getAttribute('class') || ''}">`
  + ` ${(element.textContent || '').trim().slice(0, 60)}`;
const all = Array.from(document.body.querySelectorAll('*')).filter(seen);
const scrolls = (element) => element.closest('.scroll[role=region][aria-label][tabindex="0"]');
const texts = () => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() && !['SCRIPT', 'STYLE'].includes(parent.tagName) && seen(parent)) {
      found.push(walker.currentNode);
    }
  }
  return found;
};
"""

# What is wider than its box or the window, outside of the boxes that are made to be scrolled; and names that a picture cuts.
CUT_OFF: Final = (
    _COMMON
    + """
const wrong = [];
const page = document.documentElement.clientWidth;
for (const element of all) {
  const box = element.getBoundingClientRect();
  if (!isPicture(element) && element.clientWidth > 0 && !element.matches('.scroll')
      && (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1)
      && !['INPUT'].includes(element.tagName)) {
    wrong.push(`${called(element)}: ${element.scrollWidth}x${element.scrollHeight} in`
      + ` ${element.clientWidth}x${element.clientHeight}`);
  }
  if (!scrolls(element) && (box.right > page + 0.5 || box.left < -0.5)) {
    wrong.push(`${called(element)}: from ${box.left} to ${box.right} of ${page}`);
  }
  if (element.tagName === 'text') {
    const room = element.ownerSVGElement.getBoundingClientRect();
    if (box.right > room.right + 0.5 || box.left < room.left - 0.5 || box.bottom > room.bottom + 0.5) {
      wrong.push(`${called(element)}: out of its picture`);
    }
  }
}
return wrong;
"""
)

# Siblings that lie on each other. In a picture marks may, and texts may not.
OVERLAPS: Final = (
    _COMMON
    + """
const wrong = [];
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
const compare = (elements) => {
  const boxes = elements.flatMap((element) => Array.from(element.getClientRects(), (box) => [element, box]));
  boxes.sort((one, other) => one[1].top - other[1].top);
  boxes.forEach(([element, box], place) => {
    for (let next = place + 1; next < boxes.length && boxes[next][1].top < box.bottom; next += 1) {
      if (boxes[next][0] !== element && meet(box, boxes[next][1])) {
        wrong.push(`${called(element)} and ${called(boxes[next][0])}`);
      }
    }
  });
};
for (const parent of [document.body, ...all]) {
  if (!isPicture(parent)) {
    compare(Array.from(parent.children).filter((child) => seen(child) && getComputedStyle(child).position !== 'sticky'));
  }
}
for (const picture of document.querySelectorAll('svg.chart')) {
  compare(Array.from(picture.querySelectorAll('text')).filter(seen));
}
return wrong;
"""
)

# Words that go on in the next line. A mark such as / or - ends a word; one of more than 24 characters has to be broken.
BROKEN_WORDS: Final = (
    _COMMON
    + """
const wrong = [];
for (const text of texts()) {
  if (isPicture(text.parentElement) || text.parentElement.matches('.unbroken')) {
    continue;
  }
  for (const word of text.data.matchAll(/(?<![A-Za-z0-9])[A-Za-z0-9]{2,24}(?![A-Za-z0-9])/g)) {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    if (new Set(Array.from(range.getClientRects(), (box) => Math.round(box.top))).size > 1) {
      wrong.push(`${word[0]} in ${called(text.parentElement)}`);
    }
  }
}
return wrong;
"""
)

# Texts whose contrast with what is behind them is less than the argument (WCAG 2.1, "1.4.3 Contrast (Minimum)").
LOW_CONTRAST: Final = (
    _COMMON
    + """
const numbers = (colour) => {
  const [red, green, blue, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
  return {rgb: [red, green, blue], alpha};
};
const over = (front, back) => front.rgb.map((part, place) => part * front.alpha + back[place] * (1 - front.alpha));
const behind = (element) => {
  if (element === null) {
    return [255, 255, 255];
  }
  const own = numbers(getComputedStyle(element).backgroundColor);
  return own.alpha === 1 ? own.rgb : over(own, behind(element.parentElement));
};
const luminance = (rgb) => {
  const linear = rgb.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const contrast = (element, pseudo) => {
  const look = getComputedStyle(element, pseudo);
  const back = behind(element);
  const front = over(numbers(isPicture(element) ? look.fill : look.color), back);
  const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const found = texts().map((text) => [text.parentElement, null]);
found.push(...all.filter((element) => element.tagName === 'INPUT').map((element) => [element, '::placeholder']));
found.push(...all.filter((element) => element.matches('td[data-label]')).map((element) => [element, '::before']));
const measured = found.map(([element, pseudo]) => [contrast(element, pseudo), element]);
return measured.filter(([ratio]) => ratio < arguments[0]).map(([ratio, element]) => `${ratio.toFixed(2)} ${called(element)}`);
"""
)
