// textarea[data-autogrow] is as high as its text, where CSS field-sizing does not do it.
if (!CSS.supports("field-sizing", "content"))
  stepwell.enliven("textarea[data-autogrow]", (area) => {
    const fit = () => {
      area.style.height = "auto";
      area.style.height = `${area.scrollHeight + 2}px`;
    };
    area.addEventListener("input", fit);
    fit();
  });
