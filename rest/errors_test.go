package rest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestEveryKindOfErrorHasOneStatus(t *testing.T) {
	given := map[error]int{}
	for status, kinds := range statuses() {
		if http.StatusText(status) == "" || status < http.StatusBadRequest {
			t.Errorf("%d is no status of an error", status)
		}
		for _, kind := range kinds {
			if given[kind] != 0 {
				t.Errorf("%v has the statuses %d and %d", kind, given[kind], status)
			}
			given[kind] = status
		}
	}
	for _, x := range volume.Catalogue() {
		if given[x.Kind] == 0 {
			t.Errorf("%v has no status", x.Kind)
		}
		if made := fmt.Errorf("do it: %w", &volume.Error{Kind: x.Kind, What: "it happened"}); statusOf(made) != given[x.Kind] {
			t.Errorf("%v is answered with %d, want %d", x.Kind, statusOf(made), given[x.Kind])
		}
		delete(given, x.Kind)
	}
	if len(given) > 0 {
		t.Errorf("kinds that are not in the catalogue have a status: %v", given)
	}
	if got := statusOf(errors.New("boom")); got != http.StatusInternalServerError {
		t.Errorf("an error of no kind is answered with %d", got)
	}
}

func TestTheCatalogueOfErrorsIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return !strings.HasPrefix(line, "| `") })
	var want []string
	for _, x := range volume.Catalogue() {
		want = append(want, fmt.Sprintf("| `%v` | %d | %s | %s |", x.Kind, statusOf(x.Kind), x.Meaning, x.Remedy))
	}
	for _, row := range want {
		if !slices.Contains(documented, row) {
			t.Errorf("docs/errors.md has no line\n%s", row)
		}
	}
	for _, row := range documented {
		if !slices.Contains(want, row) {
			t.Errorf("docs/errors.md has a line that the code does not know\n%s", row)
		}
	}
	if len(documented) == len(want) && !slices.Equal(documented, want) {
		t.Error("docs/errors.md has not the order of the catalogue")
	}
}
