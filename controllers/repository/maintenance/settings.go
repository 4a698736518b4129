package maintenance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/podkeep/podkeep/internal/podresources"
)

// globalKey is the key of the ConfigMap for all repositories; the others are names
// of BackupRepositories (velero-facts §8.3).
const globalKey = "global"

// defaultKeepJobs is how many finished Jobs of a repository are kept, as in Velero.
const defaultKeepJobs = 3

// settings is what the ConfigMap says for one repository.
type settings struct {
	affinity          *corev1.Affinity
	resources         corev1.ResourceRequirements
	keepJobs          int // at least 1
	priorityClassName string
	podAnnotations    map[string]string
	podLabels         map[string]string
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

type loadAffinity struct {
	NodeSelector metav1.LabelSelector `json:"nodeSelector"`
}

// parseSettings reads the data of the ConfigMap for a repository: what its own key
// says wins over what all have in common; class, annotations and labels are common
// only. A value that does not parse counts as absent, and is one of the problems: a
// typo must not keep a repository from being maintained.
func parseSettings(data map[string]string, repository string) (settings, []string) {
	common, problems := parseDocument(data, globalKey)
	own, more := parseDocument(data, repository)
	problems = append(problems, more...)

	s := settings{
		keepJobs: defaultKeepJobs, priorityClassName: common.PriorityClassName,
		podAnnotations: common.PodAnnotations, podLabels: common.PodLabels,
	}
	for _, d := range []struct {
		key string
		document
	}{{globalKey, common}, {repository, own}} {
		problems = append(problems, s.add(d.key, d.document)...)
	}
	return s, problems
}

func parseDocument(data map[string]string, key string) (document, []string) {
	var d document
	text, ok := data[key]
	if !ok {
		return d, nil
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return document{}, []string{fmt.Sprintf("data[%s]: %v", key, err)}
	}
	return d, nil
}

// add takes over what a document says.
func (s *settings) add(key string, d document) (problems []string) {
	if d.PodResources != nil {
		resources, err := d.PodResources.Requirements("podResources")
		if err != nil {
			problems = append(problems, fmt.Sprintf("data[%s]: %v", key, err))
		} else {
			s.resources = resources
		}
	}
	switch n := d.KeepLatestJobs; {
	case n == nil:
	case *n < 1:
		problems = append(problems, fmt.Sprintf("data[%s]: keepLatestMaintenanceJobs: Invalid value: %d: must be at least 1", key, *n))
	default:
		s.keepJobs = *n
	}
	if len(d.LoadAffinity) > 0 {
		affinity, err := affinityOf(d.LoadAffinity[0].NodeSelector)
		if err != nil {
			problems = append(problems, fmt.Sprintf("data[%s]: loadAffinity[0].nodeSelector: %v", key, err))
		} else {
			s.affinity = affinity
		}
	}
	if len(d.LoadAffinity) > 1 {
		problems = append(problems, fmt.Sprintf("data[%s]: loadAffinity: only the first of %d is used, as in Velero", key, len(d.LoadAffinity)))
	}
	return problems
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
