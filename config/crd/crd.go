// Package crd holds the CustomResourceDefinitions of the velero.io/v1 API group,
// as generated from the types in api/velero/v1.
//
// The install command and tests that need an API server create what All returns.
// Nobody edits the files in bases; "make generate" writes them.
package crd

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

//go:embed bases/*.yaml
var bases embed.FS

// All returns the CustomResourceDefinitions, sorted by name, each with the label
// that every installed object has. The caller owns the result.
func All() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(bases, "bases/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing CRD files: %w", err)
	}
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(files))
	for _, file := range files {
		crd, err := parse(file)
		if err != nil {
			return nil, err
		}
		crds = append(crds, crd)
	}
	slices.SortFunc(crds, func(a, b *apiextensionsv1.CustomResourceDefinition) int {
		return strings.Compare(a.Name, b.Name)
	})
	return crds, nil
}

// parse reads one embedded file. Unknown fields are errors, so that a newer
// controller-gen cannot write something that would be dropped here.
func parse(file string) (*apiextensionsv1.CustomResourceDefinition, error) {
	data, err := bases.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	if crd.Labels == nil {
		crd.Labels = map[string]string{}
	}
	crd.Labels[velerov1.ComponentLabel] = velerov1.ComponentLabelValue
	return crd, nil
}
