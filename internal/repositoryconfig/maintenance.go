package repositoryconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/podkeep/podkeep/internal/podresources"
)

// globalKey is the key of the ConfigMap for all repositories; the others are names
// of BackupRepositories (velero-facts §8.3).
const globalKey = "global"

// DefaultKeepJobs is how many finished Jobs of a repository are kept, as in Velero.
const DefaultKeepJobs = 3

// Maintenance is what the ConfigMap of maintenance Jobs says for one repository.
type Maintenance struct {
	Affinity          *corev1.Affinity
	Resources         corev1.ResourceRequirements
	KeepJobs          int // finished Jobs that are kept, at least 1
	PriorityClassName string
	PodAnnotations    map[string]string
	PodLabels         map[string]string
}

// document is the JSON of one key.
type document struct {
	LoadAffinity      []loadAffinity          `json:"loadAffinity"`
	PodResources      *podresources.Resources `json:"podResources"`
	KeepLatestJobs    *int                    `json:"keepLatestMaintenanceJobs"`
	PriorityClassName string                  `json:"priorityClassName"`
	PodAnnotations    map[string]string       `json:"podAnnotations"`
	PodLabels         map[string]string       `json:"podLabels"`
}

// documentKeys are the keys of document.
var documentKeys = []string{
	"loadAffinity", "podResources", "keepLatestMaintenanceJobs", "priorityClassName", "podAnnotations", "podLabels",
}

type loadAffinity struct {
	NodeSelector metav1.LabelSelector `json:"nodeSelector"`
}

// Problems are what of a ConfigMap is not used.
type Problems struct {
	// Invalid are values that do not parse. Each names its field and its value.
	Invalid []string

	// Ignored are values that parse and that Velero, too, does not follow.
	Ignored []string
}

// All returns both, the invalid ones first.
func (p Problems) All() []string { return slices.Concat(p.Invalid, p.Ignored) }

// ParseMaintenance reads the data of the ConfigMap for a repository: what its own
// key says wins over what all have in common; class, annotations and labels are
// common only. A value that does not parse counts as absent, and is one of the
// problems: a typo must not keep a repository from being maintained.
func ParseMaintenance(data map[string]string, repository string) (Maintenance, Problems) {
	var p Problems
	common := p.document(data, globalKey)
	own := p.document(data, repository)

	s := Maintenance{
		KeepJobs: DefaultKeepJobs, PriorityClassName: common.PriorityClassName,
		PodAnnotations: common.PodAnnotations, PodLabels: common.PodLabels,
	}
	s.add(globalKey, common, &p)
	s.add(repository, own, &p)
	return s, p
}

// CheckMaintenance returns the problems of all keys, for a ConfigMap that is being
// written.
func CheckMaintenance(data map[string]string) Problems {
	var p Problems
	for _, key := range slices.Sorted(maps.Keys(data)) {
		d := p.document(data, key)
		(&Maintenance{}).add(key, d, &p)
		p.unknownKeys(key, data[key])
	}
	return p
}

func (p *Problems) invalid(key, format string, args ...any) {
	p.Invalid = append(p.Invalid, fmt.Sprintf("data[%s]: ", key)+fmt.Sprintf(format, args...))
}

func (p *Problems) ignored(key, format string, args ...any) {
	p.Ignored = append(p.Ignored, fmt.Sprintf("data[%s]: ", key)+fmt.Sprintf(format, args...))
}

func (p *Problems) document(data map[string]string, key string) document {
	var d document
	text, ok := data[key]
	if !ok {
		return d
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		p.invalid(key, "%v", err)
		return document{}
	}
	return d
}

func (p *Problems) unknownKeys(key, text string) {
	var top map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &top) != nil {
		return // said by document
	}
	for _, k := range slices.Sorted(maps.Keys(top)) {
		if !slices.Contains(documentKeys, k) {
			p.ignored(key, "%s: unknown key, ignored; known keys are %s", k, strings.Join(documentKeys, ", "))
		}
	}
}

// add takes over what a document says.
func (s *Maintenance) add(key string, d document, p *Problems) {
	if d.PodResources != nil {
		resources, err := d.PodResources.Requirements("podResources")
		if err != nil {
			p.invalid(key, "%v", err)
		} else {
			s.Resources = resources
		}
	}
	switch n := d.KeepLatestJobs; {
	case n == nil:
	case *n < 1:
		p.ignored(key, "keepLatestMaintenanceJobs: Invalid value: %d: must be at least 1", *n)
	default:
		s.KeepJobs = *n
	}
	if len(d.LoadAffinity) > 0 {
		affinity, err := affinityOf(d.LoadAffinity[0].NodeSelector)
		if err != nil {
			p.invalid(key, "loadAffinity[0].nodeSelector: %v", err)
		} else {
			s.Affinity = affinity
		}
	}
	if len(d.LoadAffinity) > 1 {
		p.ignored(key, "loadAffinity: only the first of %d is used, as in Velero", len(d.LoadAffinity))
	}
}

// affinityOf keeps the Job to nodes with these labels; nil for a selector of all.
func affinityOf(selector metav1.LabelSelector) (*corev1.Affinity, error) {
	if _, err := metav1.LabelSelectorAsSelector(&selector); err != nil {
		return nil, err
	}
	var expressions []corev1.NodeSelectorRequirement
	for _, key := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		expressions = append(expressions, corev1.NodeSelectorRequirement{
			Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{selector.MatchLabels[key]},
		})
	}
	for _, e := range selector.MatchExpressions {
		expressions = append(expressions, corev1.NodeSelectorRequirement{
			Key: e.Key, Operator: corev1.NodeSelectorOperator(e.Operator), Values: e.Values,
		})
	}
	if len(expressions) == 0 {
		return nil, nil
	}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: expressions}},
		},
	}}, nil
}
