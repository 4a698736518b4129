package repositoryconfig

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func onNodes(requirements ...corev1.NodeSelectorRequirement) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: requirements}},
	}}}
}

func TestParseMaintenance(t *testing.T) {
	t.Parallel()
	const own = "shop-default-kopia"
	for name, tc := range map[string]struct {
		data         map[string]string
		want         func(*Maintenance)
		wantProblems []string
	}{
		"none": {},
		"common": {
			data: map[string]string{"global": `{"podResources":{"cpuRequest":"100m","memoryLimit":"1Gi"},"keepLatestMaintenanceJobs":5,
				"priorityClassName":"low","podAnnotations":{"a":"b"},"podLabels":{"c":"d"},"loadAffinity":[{"nodeSelector":{"matchLabels":{"z":"1","disk":"ssd"},
				"matchExpressions":[{"key":"spot","operator":"DoesNotExist"}]}}]}`},
			want: func(s *Maintenance) {
				s.KeepJobs, s.PriorityClassName = 5, "low"
				s.PodAnnotations, s.PodLabels = map[string]string{"a": "b"}, map[string]string{"c": "d"}
				s.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
				s.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
				s.Affinity = onNodes(
					corev1.NodeSelectorRequirement{Key: "disk", Operator: "In", Values: []string{"ssd"}},
					corev1.NodeSelectorRequirement{Key: "z", Operator: "In", Values: []string{"1"}},
					corev1.NodeSelectorRequirement{Key: "spot", Operator: "DoesNotExist"},
				)
			},
		},
		"its own wins, field by field": {
			data: map[string]string{
				"global": `{"podResources":{"cpuRequest":"100m"},"keepLatestMaintenanceJobs":5,"priorityClassName":"low"}`,
				own:      `{"keepLatestMaintenanceJobs":2,"priorityClassName":"high","podLabels":{"x":"y"}}`,
				"other":  `{"keepLatestMaintenanceJobs":9}`,
			},
			want: func(s *Maintenance) {
				s.KeepJobs, s.PriorityClassName = 2, "low"
				s.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
			},
		},
		"a typo does not stop maintenance": {
			data: map[string]string{
				"global": `{"podResources":{"cpuRequest":"one"},"keepLatestMaintenanceJobs":0,"loadAffinity":[{"nodeSelector":{"matchExpressions":[{"key":"a","operator":"Likes"}]}},{}]}`,
				own:      `{`,
			},
			wantProblems: []string{
				"data[shop-default-kopia]: unexpected end of JSON input",
				`data[global]: podResources.cpuRequest: Invalid value: "one"`,
				"data[global]: loadAffinity[0].nodeSelector:",
				"data[global]: keepLatestMaintenanceJobs: Invalid value: 0: must be at least 1",
				"data[global]: loadAffinity: only the first of 2 is used",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := Maintenance{KeepJobs: 3}
			if tc.want != nil {
				tc.want(&want)
			}

			got, found := ParseMaintenance(tc.data, own)
			problems := found.All()

			g.Expect(got).To(Equal(want))
			g.Expect(problems).To(HaveLen(len(tc.wantProblems)))
			for i := range tc.wantProblems {
				g.Expect(problems[i]).To(HavePrefix(tc.wantProblems[i]))
			}
		})
	}
}

func TestCheckMaintenance(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := CheckMaintenance(map[string]string{
		"global":             `{"keepLatestMaintenanceJobs":0,"surprise":1}`,
		"shop-default-kopia": `{"podResources":{"cpuLimit":"much"}}`,
		"other":              `[]`,
	})

	g.Expect(got.Invalid).To(HaveExactElements(
		HavePrefix("data[other]: json:"),
		HavePrefix(`data[shop-default-kopia]: podResources.cpuLimit: Invalid value: "much": must be a quantity`),
	))
	g.Expect(got.Ignored).To(HaveExactElements(
		HavePrefix("data[global]: keepLatestMaintenanceJobs: Invalid value: 0"),
		HavePrefix("data[global]: surprise: unknown key, ignored"),
	))
}
