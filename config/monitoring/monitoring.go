// Package monitoring holds the alerts on podkeep's metrics: as a rule file, which
// any Prometheus loads, and as objects of the Prometheus operator.
//
// It is pure. "podkeep coverage --rules" prints the file, "podkeep install
// --monitoring" applies the objects. What the metrics mean is in docs/coverage.md.
package monitoring

import (
	_ "embed"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

//go:embed podkeep.rules.yaml
var rules []byte

// Rules is the rule file.
func Rules() []byte { return append([]byte(nil), rules...) }

// GroupVersion is that of the Prometheus operator's kinds.
var GroupVersion = schema.GroupVersion{Group: "monitoring.coreos.com", Version: "v1"}

// Kinds of the objects.
const (
	KindRule       = "PrometheusRule"
	KindPodMonitor = "PodMonitor"
)

// Name is that of the objects.
const Name = "podkeep"

// MetricsPort is the name of the port of podkeep's containers that serves metrics.
const MetricsPort = "metrics"

// Objects returns the rules, and how podkeep's pods are scraped, for the install
// namespace. labels are those by which the Prometheus of the cluster selects its
// objects; nil when it takes all.
func Objects(namespace string, labels map[string]string) ([]client.Object, error) {
	spec := map[string]any{}
	if err := yaml.UnmarshalStrict(rules, &spec); err != nil {
		return nil, fmt.Errorf("reading the rule file: %w", err)
	}
	scrape := map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{velerov1.ComponentLabel: velerov1.ComponentLabelValue}},
		"podMetricsEndpoints": []any{map[string]any{
			"port": MetricsPort, "path": "/metrics",
			// The label namespace of the metrics is that of the volumes.
			"honorLabels": true,
		}},
	}
	return []client.Object{object(KindRule, namespace, labels, spec), object(KindPodMonitor, namespace, labels, scrape)}, nil
}

func object(kind, namespace string, labels map[string]string, spec map[string]any) client.Object {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(Name)
	if len(labels) > 0 {
		u.SetLabels(maps.Clone(labels))
	}
	return u
}
