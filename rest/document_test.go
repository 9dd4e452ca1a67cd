package rest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/lagan-storage/lagan/core/volume"
)

// described is as much of the document as is compared with the code.
type described struct {
	OpenAPI    string                                `yaml:"openapi"`
	Paths      map[string]map[string]yaml.RawMessage `yaml:"paths"`
	Components struct {
		Schemas map[string]schema `yaml:"schemas"`
	} `yaml:"components"`
}

type operation struct {
	ID          string              `yaml:"operationId"`
	Summary     string              `yaml:"summary"`
	Description string              `yaml:"description"`
	Parameters  []map[string]any    `yaml:"parameters"`
	Responses   map[string]response `yaml:"responses"`
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string `yaml:"description"`
}

type schema struct {
	Ref         string            `yaml:"$ref"`
	Description string            `yaml:"description"`
	Enum        []string          `yaml:"enum"`
	Properties  map[string]schema `yaml:"properties"`
	Items       *schema           `yaml:"items"`
}

func readDocument(t *testing.T) (d described, operations map[string]operation) {
	t.Helper()
	if err := yaml.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	operations = map[string]operation{}
	for path, item := range d.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var o operation
			if err := yaml.Unmarshal(raw, &o); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			operations[strings.ToUpper(method)+" "+path] = o
		}
	}
	return d, operations
}

func TestTheDocumentHasEveryRouteAndNoOther(t *testing.T) {
	_, operations := readDocument(t)
	parameter := regexp.MustCompile(`:(\w+)`)
	var routes []string
	for _, r := range newEngine(Params{}).Routes() {
		routes = append(routes, r.Method+" "+parameter.ReplaceAllString(r.Path, "{$1}"))
	}
	slices.Sort(routes)
	if documented := slices.Sorted(maps.Keys(operations)); !slices.Equal(routes, documented) {
		t.Errorf("the node offers\n%s\nand the document says\n%s", strings.Join(routes, "\n"), strings.Join(documented, "\n"))
	}
}

func TestTheDocumentSaysAllOfEachOperation(t *testing.T) {
	d, operations := readDocument(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("the document is of OpenAPI %s", d.OpenAPI)
	}
	seen := map[string]bool{}
	for at, o := range operations {
		if o.ID == "" || o.Summary == "" || seen[o.ID] {
			t.Errorf("%s: operation %q (%q) has no name of its own or no summary", at, o.ID, o.Summary)
		}
		seen[o.ID] = true
		if o.Responses["default"].Ref != "#/components/responses/Problem" || len(o.Responses) < 2 {
			t.Errorf("%s: lists the answers %v, where its own and the problem ought to be", at, slices.Sorted(maps.Keys(o.Responses)))
		}
		for status, r := range o.Responses {
			if r.Ref == "" && r.Description == "" {
				t.Errorf("%s: answer %s has no description", at, status)
			}
		}
		for _, p := range o.Parameters {
			if p["description"] == nil {
				t.Errorf("%s: parameter %v has no description", at, p["name"])
			}
		}
	}
	for name, s := range d.Components.Schemas {
		if s.Description == "" {
			t.Errorf("schema %s has no description", name)
		}
		for field, p := range s.Properties {
			if p.Description == "" && p.Ref == "" && (p.Items == nil || p.Items.Ref == "") {
				t.Errorf("schema %s: field %s has no description", name, field)
			}
		}
	}
}

func TestTheDocumentNamesProblemsThatThereAre(t *testing.T) {
	_, operations := readDocument(t)
	named := regexp.MustCompile("`([a-z-]+)`")
	codes := map[string]bool{}
	for _, x := range volume.Catalogue() {
		codes[x.Kind.Error()] = true
	}
	total := 0
	for at, o := range operations {
		_, problems, _ := strings.Cut(o.Description, "Problems:")
		for _, m := range named.FindAllStringSubmatch(problems, -1) {
			total++
			if !codes[m[1]] {
				t.Errorf("%s: there is no problem %q", at, m[1])
			}
		}
	}
	if total < 30 {
		t.Errorf("only %d problems were found in the document", total)
	}
}

func TestTheDocumentListsTheWordsThatThereAre(t *testing.T) {
	d, _ := readDocument(t)
	for _, c := range []struct{ schema, field, kind string }{
		{"Event", "kind", "EventKind"},
		{"VolumeStatus", "health", "Health"},
		{"Replica", "state", "State"},
	} {
		listed := slices.Sorted(slices.Values(d.Components.Schemas[c.schema].Properties[c.field].Enum))
		if words := wordsOf(t, c.kind); len(words) == 0 || !slices.Equal(listed, words) {
			t.Errorf("%s.%s: the document lists %v, and volume.%s can be %v", c.schema, c.field, listed, c.kind, words)
		}
	}
}

// wordsOf returns the constants of a type of core/volume, read from its source:
// the language does not list them.
func wordsOf(t *testing.T, kind string) (words []string) {
	t.Helper()
	files, err := filepath.Glob("../core/volume/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			v, _ := n.(*ast.ValueSpec)
			if v == nil {
				return true
			}
			if name, ok := v.Type.(*ast.Ident); !ok || name.Name != kind {
				return true
			}
			for _, value := range v.Values {
				word, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				words = append(words, word)
			}
			return true
		})
	}
	slices.Sort(words)
	return words
}

func TestTheDocumentIsServed(t *testing.T) {
	w := httptest.NewRecorder()
	newEngine(Params{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/openapi.yaml", nil))
	if w.Code != http.StatusOK || w.Body.String() != string(document) {
		t.Errorf("answered %d with %d bytes, of a document of %d", w.Code, w.Body.Len(), len(document))
	}
}
