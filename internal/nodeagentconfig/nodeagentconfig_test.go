package nodeagentconfig

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		json         string
		want         func(*Settings)
		wantWarnings []string
	}{
		"empty document is the defaults": {json: `{}`},
		"number of slots": {
			json: `{"loadConcurrency":{"globalConfig":3}}`,
			want: func(s *Settings) { s.Slots = 3 },
		},
		"no slots at all is the default": {
			json:         `{"loadConcurrency":{"globalConfig":0}}`,
			wantWarnings: []string{"loadConcurrency.globalConfig: 0 is not at least 1, using 1"},
		},
		"smallest of the rules that match the node wins": {
			json: `{"loadConcurrency":{"globalConfig":9,"perNodeConfig":[
				{"nodeSelector":{"matchLabels":{"disk":"ssd"}},"number":4},
				{"nodeSelector":{"matchLabels":{"disk":"hdd"}},"number":1},
				{"nodeSelector":{"matchExpressions":[{"key":"disk","operator":"Exists"}]},"number":2}]}}`,
			want: func(s *Settings) { s.Slots = 2 },
		},
		"rule for other nodes": {
			json: `{"loadConcurrency":{"globalConfig":9,"perNodeConfig":[{"nodeSelector":{"matchLabels":{"disk":"hdd"}},"number":1}]}}`,
			want: func(s *Settings) { s.Slots = 9 },
		},
		"broken rule is ignored, as in Velero": {
			json: `{"loadConcurrency":{"perNodeConfig":[{"nodeSelector":{"matchLabels":{"disk":"ssd"}},"number":-1}]}}`,
			wantWarnings: []string{
				"loadConcurrency.perNodeConfig[0]: ignored: number -1 is not at least 1",
			},
		},
		"queue length": {
			json: `{"loadConcurrency":{"prepareQueueLength":2}}`,
			want: func(s *Settings) { s.PrepareQueueLength = 2 },
		},
		"resources": {
			json: `{"podResources":{"cpuRequest":"100m","memoryLimit":"1Gi","ephemeralStorageLimit":"5Gi","cpuLimit":"0"}}`,
			want: func(s *Settings) {
				s.Resources = corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
					Limits: corev1.ResourceList{
						corev1.ResourceMemory:           resource.MustParse("1Gi"),
						corev1.ResourceEphemeralStorage: resource.MustParse("5Gi"),
					},
				}
			},
		},
		"the rest": {
			json: `{"priorityClassName":"low","privilegedFsBackup":true,"podAnnotations":{"a":"b"},"podLabels":{"c":"d"},"compression":"zstd"}`,
			want: func(s *Settings) {
				s.PriorityClassName = "low"
				s.Privileged = true
				s.PodAnnotations = map[string]string{"a": "b"}
				s.PodLabels = map[string]string{"c": "d"}
				s.Compression = "zstd"
			},
		},
		"keys without effect are warned about": {
			json: `{"privilegedFSBackups":true,"cachePVC":{},"loadConcurrency":{"slots":2}}`,
			wantWarnings: []string{
				"cachePVC: not used by file system backup, ignored",
				"privilegedFSBackups: unknown key, ignored; known keys are loadConcurrency, podResources, priorityClassName, privilegedFsBackup, podAnnotations, podLabels, compression",
				"loadConcurrency.slots: unknown key, ignored; known keys are globalConfig, perNodeConfig, prepareQueueLength",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := Defaults()
			if tc.want != nil {
				tc.want(&want)
			}

			got, warnings, err := Parse(map[string]string{"config.json": tc.json}, map[string]string{"disk": "ssd"})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(want))
			g.Expect(warnings).To(Equal(tc.wantWarnings))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data map[string]string
		want string
	}{
		"no key":    {data: nil, want: "data: must have exactly one key, has 0"},
		"two keys":  {data: map[string]string{"b": "{}", "a": "{}"}, want: "has 2: a, b"},
		"no JSON":   {data: map[string]string{"a": "slots: 2"}, want: "parsing JSON"},
		"bad type":  {data: map[string]string{"a": `{"loadConcurrency":{"globalConfig":"two"}}`}, want: "loadConcurrency.globalConfig: Invalid value: string: must be of type int"},
		"bad value": {data: map[string]string{"a": `{"podResources":{"cpuLimit":"1 core"}}`}, want: `podResources.cpuLimit: Invalid value: "1 core": must be a quantity such as 500m or 1Gi`},
		"negative":  {data: map[string]string{"a": `{"podResources":{"cpuLimit":"-1"}}`}, want: `podResources.cpuLimit: Invalid value: "-1"`},
		"request above limit": {
			data: map[string]string{"a": `{"podResources":{"memoryRequest":"2Gi","memoryLimit":"1Gi"}}`},
			want: "memory request 2Gi: must not be above the limit 1Gi",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			_, _, err := Parse(tc.data, nil)

			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}
