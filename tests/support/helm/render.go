// Renders the templates of a Helm chart with the engine that Helm uses: Go's text/template and sprig.
//
// Helm itself is in no package that the tests can install. What it adds to the engine is here: include, toYaml, required
// and fail, and that a missing value is an error. Arguments: the directory of the templates. On
// standard input the root as JSON: Values, Release, Chart. On standard output the documents.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var root map[string]interface{}
	fatal(json.NewDecoder(os.Stdin).Decode(&root))

	all := template.New("chart").Option("missingkey=error")
	functions := sprig.TxtFuncMap()
	delete(functions, "env") // as Helm does: a chart reads nothing of the machine
	delete(functions, "expandenv")
	functions["include"] = func(name string, data interface{}) (string, error) {
		var text strings.Builder
		err := all.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(message)
		}
		return value, nil
	}
	functions["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	all.Funcs(functions)

	paths, err := filepath.Glob(filepath.Join(os.Args[1], "*"))
	fatal(err)
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		fatal(err)
		_, err = all.New(filepath.Base(path)).Parse(string(text))
		fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".yaml") {
			fmt.Println("---")
			fatal(all.ExecuteTemplate(os.Stdout, filepath.Base(path), root))
		}
	}
}
