"""One file per question: answer(query, view) and render(answer, page)."""
