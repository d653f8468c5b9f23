// Formulas arrive as \(...\) and \[...\] inside .arithmatex elements; nothing else of the page is searched.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    renderMathInElement(element, {
      delimiters: [
        { left: "\\(", right: "\\)", display: false },
        { left: "\\[", right: "\\]", display: true },
      ],
      strict: "ignore",
    });
  }
});
