// Tells the page around the frame how tall this one is (CentralAuth: embedded login).
"use strict";
const tell = () => parent.postMessage(String(document.documentElement.scrollHeight), "*");
new ResizeObserver(tell).observe(document.body);
addEventListener("load", tell);
