{{- define "hullwatch.labels" -}}
app.kubernetes.io/name: hullwatch
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "hullwatch.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* What a sensor needs: deploy/kustomize/base/daemonset.yaml says which collector wants what. */ -}}
{{- define "hullwatch.capabilities" -}}
{{- if has .Values.sensor (list "auto" "ebpf") }}
- BPF
- PERFMON
{{- end }}
- SYS_PTRACE
- DAC_READ_SEARCH
{{- if and .Values.oldKernel (has .Values.sensor (list "auto" "ebpf")) }}
- SYS_RESOURCE
{{- end }}
{{- if eq .Values.sensor "netlink" }}
- NET_ADMIN
{{- end }}
{{- end }}

{{- define "hullwatch.config" -}}
sensor: {{ .Values.sensor }}
{{- if .Values.kubernetesApi }}
kubernetes:
  enabled: true
{{- end }}
{{- with .Values.config }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "hullwatch.seLinuxType" -}}
{{- if .Values.openshift }}{{ .Values.seLinuxType | default "spc_t" }}{{ else }}{{ .Values.seLinuxType }}{{ end -}}
{{- end }}
