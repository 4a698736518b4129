package maintenance

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

func TestParseSettings(t *testing.T) {
	t.Parallel()
	const own = "shop-default-kopia"
	for name, tc := range map[string]struct {
		data         map[string]string
		want         func(*settings)
		wantProblems []string
	}{
		"none": {},
		"common": {
			data: map[string]string{"global": `{"podResources":{"cpuRequest":"100m","memoryLimit":"1Gi"},"keepLatestMaintenanceJobs":5,
				"priorityClassName":"low","podAnnotations":{"a":"b"},"podLabels":{"c":"d"},"loadAffinity":[{"nodeSelector":{"matchLabels":{"z":"1","disk":"ssd"},
				"matchExpressions":[{"key":"spot","operator":"DoesNotExist"}]}}]}`},
			want: func(s *settings) {
				s.keepJobs, s.priorityClassName = 5, "low"
				s.podAnnotations, s.podLabels = map[string]string{"a": "b"}, map[string]string{"c": "d"}
				s.resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
				s.resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
				s.affinity = onNodes(
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
			want: func(s *settings) {
				s.keepJobs, s.priorityClassName = 2, "low"
				s.resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
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
				"data[global]: keepLatestMaintenanceJobs: Invalid value: 0: must be at least 1",
				"data[global]: loadAffinity[0].nodeSelector:",
				"data[global]: loadAffinity: only the first of 2 is used",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := settings{keepJobs: 3}
			if tc.want != nil {
				tc.want(&want)
			}

			got, problems := parseSettings(tc.data, own)

			g.Expect(got).To(Equal(want))
			g.Expect(problems).To(HaveLen(len(tc.wantProblems)))
			for i := range tc.wantProblems {
				g.Expect(problems[i]).To(HavePrefix(tc.wantProblems[i]))
			}
		})
	}
}
